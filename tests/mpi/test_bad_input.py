"""What cannot be is said in a sentence, by whoever finds it out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mpi.jobs import ROOT, is_open_mpi, launcher, needs_mpi, start, started

HERE = Path(__file__).parent
pytestmark = needs_mpi


def test_without_mpi4py_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text("raise ModuleNotFoundError")
    command = [*launcher(), "-n", "1", sys.executable, "-m", "pydsm", str(HERE / "wrong.py"), "0"]
    with started(command, tmp_path / "log", PYTHONPATH=f"{tmp_path}:{ROOT}") as job:
        assert job.wait() != 0
    assert "pip install '.[mpi]'" in job.output


def test_a_launcher_of_another_mpi_is_found_out() -> None:
    """Each process is alone, though the launcher says that it is one of three."""
    alone = {key: value for key, value in os.environ.items() if not key.startswith(("PMI", "OMPI", "PRTE"))}
    says = {"OMPI_COMM_WORLD_SIZE": "3"} if not is_open_mpi() else {"PMI_SIZE": "3"}
    program = "from pydsm.mpi.world import World; World()"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**alone, **says}, capture_output=True, text=True, timeout=60
    )
    assert "started 3 processes, but each is an MPI job of its own" in said.stderr, said.stderr


def test_one_rank_has_the_memory_of_one_machine(tmp_path: Path) -> None:
    """Its teams are children, as many as asked for."""
    with start("0", HERE / "wrong.py", "0", log=tmp_path / "log") as job:
        code = job.wait()
    assert code == 0, job.output
    assert "\ncluster: Cluster\nsmall cluster: Cluster\n" in job.output
    assert "raised TypeError: the result of the worker's function does not pickle" in job.output
    workers = len(os.sched_getaffinity(0))
    assert f"again: {[(rank, workers) for rank in range(workers)]}\n" in job.output


@pytest.mark.parametrize(("how", "expected"), [("3", 3), ("raise", 1)])
def test_what_cannot_be_is_said_and_the_exit_code_is_the_programs(how: str, expected: int, tmp_path: Path) -> None:
    with start("0,1|2,3", HERE / "wrong.py", how, log=tmp_path / "log") as job:
        code = job.wait()
    said = job.output
    assert code == expected, said
    assert said.count("team: [(0, 2), (1, 2)]\n") == 1, said
    assert "raised TypeError: the result of the worker's function does not pickle" in said
    assert "again: [(0, 2), (1, 2)]\n" in said
    assert f"arguments: {[[how]] * 2}\n" in said
    assert "crowd: ValueError: a team of 500 workers is asked for, and this MPI job has 2" in said
    assert "cluster: ValueError: a team of 7 workers is asked for, and this MPI job has 2" in said
    assert "small cluster: Cluster\n" in said
    assert said.count("LookupError: on purpose") == (how == "raise"), said
    assert ("Traceback" in said) == (how == "raise"), said
    assert "died" not in said


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh here, with which launchers reach hosts")
@pytest.mark.parametrize(
    ("nodes", "program", "sentence"),
    [
        ("0,1|2,3", "nothing.py", "pydsm: there is no program 'nothing.py' on "),
        ("0,1|2", HERE / "wrong.py", "pydsm: PYDSM_MPI_NODES names each of the ranks 0 to 3 once"),
    ],
)
def test_what_no_rank_can_begin_is_said_once_and_nothing_stays(
    nodes: str, program: str | Path, sentence: str, tmp_path: Path
) -> None:
    before = set(os.listdir("/dev/shm"))
    with started(
        [*launcher(), "-n", "4", sys.executable, "-m", "pydsm", str(program)], tmp_path / "log", PYDSM_MPI_NODES=nodes
    ) as job:
        assert job.wait() == 2, job.output
    assert job.output.count(sentence) == 1, job.output
    assert "Traceback" not in job.output
    assert {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("mpich")} == set()


def test_a_host_that_is_none_is_the_launchers_error(tmp_path: Path) -> None:
    """What it says is passed on, and its exit code."""
    command = [sys.executable, "-m", "pydsm", "run", "-n", "2", "--hosts", "nowhere.invalid"]
    with started([*command, str(HERE / "wrong.py"), "0"], tmp_path / "log") as job:
        code = job.wait(60)
    assert code not in (0, 3), job.output
    assert "nowhere.invalid" in job.output
    assert "Traceback" not in job.output


def test_a_launcher_that_is_none_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pydsm", "run", "--mpi", "--launcher", "nomaunch", str(HERE / "wrong.py"), "0"]
    with started(command, tmp_path / "log") as job:
        assert job.wait() != 0
    assert "there is no 'nomaunch' beside this Python or on the path" in job.output
