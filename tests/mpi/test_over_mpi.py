from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mpi.jobs import ROOT, Job, is_open_mpi, left_in_shared_memory, needs_mpi, start

HERE = Path(__file__).parent
LONG = pytest.mark.skipif(not os.environ.get("PYDSM_LONG"), reason="a longer form: PYDSM_LONG=1")
pytestmark = needs_mpi


def run_inside(nodes: str, which: str, log: Path, seconds: float = 100.0) -> None:
    """Run the tests of a module on rank 0."""
    with start(nodes, HERE / "inside.py", "--timeout", "40", str(HERE / which), log=log) as job:
        code = job.wait(seconds)
    assert code == 0, job.output
    assert " passed" in job.output


@pytest.mark.parametrize(
    "nodes",
    ["0,1|2,3|4,5", pytest.param("0,1,2,3", marks=LONG), pytest.param("0|1,2|3,4|5,6", marks=LONG)],
)
def test_the_contract_is_kept(nodes: str, tmp_path: Path) -> None:
    run_inside(nodes, "over_ranks.py", tmp_path / "log")


@pytest.mark.parametrize(
    "nodes",
    [
        "0,1,2|3,4,5",
        pytest.param("0,1", marks=LONG),
        pytest.param("0,1|2,3", marks=LONG),
        pytest.param("0|1,2|3,4,5", marks=LONG),
    ],
)
def test_programs_of_all_kinds_have_exact_results(nodes: str, tmp_path: Path) -> None:
    run_inside(nodes, "litmus.py", tmp_path / "log")


@pytest.mark.parametrize(
    "nodes", ["0,1,2|3,4", pytest.param("0|1,2|3,4,5", marks=LONG), pytest.param("0,1", marks=LONG)]
)
def test_rows_are_copied_exactly(nodes: str, tmp_path: Path) -> None:
    run_inside(nodes, "copies.py", tmp_path / "log")


def see(job: Job, wanted: str, seconds: float = 60.0) -> re.Match[str]:
    """Wait until the job has said something."""
    until = time.monotonic() + seconds
    while not (found := re.search(wanted, job.output)):
        assert time.monotonic() < until, f"the job did not say {wanted!r}, but:\n{job.output}"
        assert job.process.poll() is None, job.output
        time.sleep(0.02)
    return found


def fail(how: str, log: Path, during: Callable[[Job], None] = lambda job: None) -> tuple[int, str]:
    """Let a job fail; return its exit code and what it said; nothing may be left of it."""
    namespace = f"f{secrets.token_hex(4)}"
    before = _files_of_libraries()
    with start("0,1|2,3", HERE / "failing.py", how, namespace, log=log) as job:
        during(job)
        code = job.wait(60)
    assert left_in_shared_memory(namespace) == []
    assert not _ranks_of(namespace)
    assert _files_of_libraries() <= before
    return code, job.output


def _files_of_libraries() -> set[str]:
    return {file for file in os.listdir("/dev/shm") if file.startswith("mpich_shm_")}


def _ranks_of(namespace: str) -> list[str]:
    """Return the processes of a job that are there still."""
    until = time.monotonic() + 15
    while True:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if namespace.encode() in command:
                found.append(command.replace(b"\0", b" ").decode())
        if not found or time.monotonic() >= until:
            return found
        time.sleep(0.05)


def test_a_workers_error_comes_with_its_traceback_and_ends_the_job(tmp_path: Path) -> None:
    code, said = fail("raise", tmp_path / "log")
    assert code == 1
    assert "WorkerError: worker 1 raised KeyError: 'on purpose'" in said
    assert 'raise KeyError("on purpose")' in said
    assert "worker 0 unwound" in said


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_rank_that_dies_is_named_and_ends_the_job(how: str, tmp_path: Path) -> None:
    code, said = fail(how, tmp_path / "log")
    assert code != 0
    # Which one: on a busy machine the launcher may have killed others before anybody could look.
    assert re.search(r"pydsm: .*\(rank \d of MPI, pid \d+.*\) died", said), said


def test_nobody_outlives_the_program(tmp_path: Path) -> None:
    code, _ = fail("parent", tmp_path / "log")
    assert code != 0


def test_a_worker_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    code, said = fail("stuck", tmp_path / "log")
    assert code != 0
    assert "rank 0 of the team did not stop within" in said


def test_an_interrupt_of_the_program_unwinds_all_workers(tmp_path: Path) -> None:
    def interrupt(job: Job) -> None:
        see(job, "running")
        os.kill(int(see(job, r"program (\d+)").group(1)), signal.SIGINT)

    code, said = fail("interrupt", tmp_path / "log", interrupt)
    assert code == 5
    assert "interrupted" in said
    assert "worker 0 unwound" in said
    assert "worker 1 unwound" in said


def test_without_mpi4py_the_extra_is_named() -> None:
    hide = "import sys; sys.modules['mpi4py'] = None; from pydsm.mpi.world import World; World()"
    said = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "pip install 'py-dsm[mpi]'" in said.stderr.splitlines()[-1]


def test_a_launcher_of_another_mpi_is_found_out() -> None:
    """Each process is alone, though the launcher says that it is one of three."""
    alone = {key: value for key, value in os.environ.items() if not key.startswith(("PMI", "OMPI", "PRTE"))}
    says = {"OMPI_COMM_WORLD_SIZE": "3"} if not is_open_mpi() else {"PMI_SIZE": "3"}
    program = "from pydsm.mpi.world import World; World()"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**alone, **says}, capture_output=True, text=True, timeout=60
    )
    assert "started 3 processes, but each is an MPI job of its own" in said.stderr, said.stderr
