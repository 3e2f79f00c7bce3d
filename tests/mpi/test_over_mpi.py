from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mpi.failing import pid_of_rank
from tests.mpi.jobs import LONG, Job, left_in_shared_memory, needs_mpi, start

HERE = Path(__file__).parent
pytestmark = needs_mpi


NETWORK = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "tcp,self"}
"""What keeps MPI from using the memory that ranks have in common."""
NODES = [
    "0,1",
    "0,1,2",
    "0,1|2,3",
    "0|1,2|3,4,5",
    "0,1,2,3|4",
    "0,1|2,3|4,5",
    "0|1,2|3,4|5,6",
    "0,1,2|3,4,5",
    "0,1|2,3|4,5|6,7",
]


def choice(*default: tuple[str, str], workers: int = 1) -> list[Any]:
    """Return over which nodes and which path to run: by default those, in the long form all with so many workers."""
    enough = [nodes for nodes in NODES if nodes.count(",") >= workers]
    every = itertools.product(enough, ["memory", "network"])
    return [*default, *(pytest.param(*each, marks=LONG) for each in every if each not in default)]


def run_inside(nodes: str, path: str, which: str, log: Path) -> None:
    """Run the tests of modules on rank 0."""
    is_long = "PYDSM_LONG" in os.environ
    arguments = "--timeout", "600" if is_long else "40", *(str(HERE / one) for one in which.split())
    environment = NETWORK if path == "network" else {}
    with start(nodes, HERE / "inside.py", *arguments, log=log, **environment) as job:
        code = job.wait(7000 if is_long else 100)
    assert code == 0, job.output
    assert " passed" in job.output
    if nodes.count(",") > 2 and "|" in nodes:  # workers and nodes enough for all of them
        assert "skipped" not in job.output, job.output


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("nodes", "path"), choice(("0,1|2,3|4,5", "memory"), workers=2))
def test_the_contract_is_kept(nodes: str, path: str, tmp_path: Path) -> None:
    run_inside(nodes, path, "over_ranks.py", tmp_path / "log")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("nodes", "path"), choice(("0,1,2|3,4,5", "network")))
def test_programs_of_all_kinds_have_exact_results(nodes: str, path: str, tmp_path: Path) -> None:
    run_inside(nodes, path, "litmus.py large.py interleavings.py", tmp_path / "log")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("nodes", "path"), choice(("0,1,2|3,4", "memory")))
def test_rows_are_copied_exactly(nodes: str, path: str, tmp_path: Path) -> None:
    run_inside(nodes, path, "copies.py", tmp_path / "log")


def see(job: Job, wanted: str, seconds: float = 60.0) -> re.Match[str]:
    """Wait until the job has said something."""
    until = time.monotonic() + seconds
    while not (found := re.search(wanted, job.output)):
        assert time.monotonic() < until, f"the job did not say {wanted!r}, but:\n{job.output}"
        assert job.process.poll() is None, job.output
        time.sleep(0.02)
    return found


def fail(
    how: str, log: Path, during: Callable[[Job], None] = lambda job: None, namespace: str = "", **environment: str
) -> tuple[int, str]:
    """Let a job fail; return its exit code and what it said; nothing may be left of it."""
    namespace = namespace or f"f{secrets.token_hex(4)}"
    with start("0,1|2,3", HERE / "failing.py", how, namespace, str(log.parent), log=log, **environment) as job:
        during(job)
        code = job.wait(60)
    assert left_in_shared_memory(namespace, job.output) == []
    assert not _ranks_of(namespace)
    return code, job.output


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
    assert (tmp_path / "worker 0 unwound").exists()


@pytest.mark.parametrize(
    ("how", "who"),
    [
        ("exit", "worker 1 (rank 3"),
        ("kill", "worker 1 (rank 3"),
        pytest.param("fault", "worker 1 (rank 3", marks=LONG),
        ("server", "the server (rank 2"),
        ("parent", "the program (rank 0"),
    ],
)
def test_a_rank_that_dies_is_named_and_ends_the_job(how: str, who: str, tmp_path: Path) -> None:
    code, said = fail(how, tmp_path / "log")
    assert code != 0
    assert re.findall(r"pydsm: (.* of MPI), pid \d+ on \S+\) died: the job ends", said) == [f"{who} of MPI"], said


@pytest.mark.parametrize(
    ("whom", "signals"),
    [
        ("mpiexec", "INT INT"),
        ("mpiexec", "KILL"),
        pytest.param("mpiexec", "INT", marks=LONG),
        pytest.param("mpiexec", "TERM", marks=LONG),
        pytest.param("mpiexec", "TERM KILL", marks=LONG),
        pytest.param(0, "TERM", marks=LONG),
        pytest.param(2, "TERM", marks=LONG),
        pytest.param(1, "KILL", marks=LONG),
        pytest.param(3, "ABRT", marks=LONG),
        pytest.param(0, "QUIT", marks=LONG),
        pytest.param(0, "INT INT", marks=LONG),
    ],
)
def test_nothing_is_left_whoever_is_ended_and_how(whom: str | int, signals: str, tmp_path: Path) -> None:
    namespace = f"e{secrets.token_hex(4)}"

    def end(job: Job) -> None:
        see(job, "running")
        pid = job.process.pid if isinstance(whom, str) else pid_of_rank(whom, namespace)
        for name in signals.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.Signals[f"SIG{name}"])

    code, _ = fail("interrupt", tmp_path / "log", end, namespace)
    assert code != 0


def test_nothing_is_left_where_each_rank_has_a_segment_of_its_own(tmp_path: Path) -> None:
    """MPICH has one for each where it goes over the network."""
    code, _ = fail("kill", tmp_path / "log", **NETWORK)
    assert code != 0


def test_nothing_is_left_of_a_program_that_ends_in_order(tmp_path: Path) -> None:
    code, said = fail("nothing", tmp_path / "log")
    assert code == 0, said


def test_a_worker_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    code, said = fail("stuck", tmp_path / "log")
    assert code != 0
    assert "rank 0 of the team did not stop within" in said


def test_an_interrupt_of_the_program_unwinds_all_workers(tmp_path: Path) -> None:
    def interrupt(job: Job) -> None:
        see(job, "running")
        os.kill(int(see(job, r"program (\d+)").group(1)), signal.SIGINT)

    code, said = fail("interrupt", tmp_path / "log", interrupt)
    assert code == 5, said
    assert "interrupted" in said
    assert {file.name for file in tmp_path.glob("* unwound")} == {"worker 0 unwound", "worker 1 unwound"}
