"""`pydsm trace`: a program is run, and what its workers did is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trace.chromeformat import check

PROGRAM = """
import sys
import pydsm

def count(worker, turns):
    for turn in range(turns):
        with worker["A"].locked(0):
            worker["A"][0] += 1
    worker.barrier()

if __name__ == "__main__":
    teams = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for _ in range(teams):
        with pydsm.Team() as team:
            A = team.array("A", 3, int)
            team.run(count, 20)
            print(A[0], team.size)
    if "fail" in sys.argv:
        raise SystemExit(3)
"""


def trace(folder: Path, *arguments: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    (folder / "prog.py").write_text(program)
    command = [sys.executable, "-m", "pydsm", "trace", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, env=environment)


def test_it_writes_what_is_asked_for_and_prints_a_summary(tmp_path: Path) -> None:
    done = trace(tmp_path, "-n", "3", "-o", "out.json", "--html", "out.html", "prog.py")
    assert (done.returncode, done.stdout) == (0, "60 3\n")
    counted = check(json.loads((tmp_path / "out.json").read_text()))
    assert counted["X"] >= 1 + 3 * (1 + 20 + 1)
    assert "<title>prog.py" in (tmp_path / "out.html").read_text()
    said = done.stderr
    assert max(map(len, said.splitlines())) <= 80
    assert f"1 run, {1 + 3 * 22} events in " in said
    assert [line.split()[0] for line in said.splitlines()[3:7]] == ["worker", "0", "1", "2"]
    assert "out.json (" in said
    assert "open it at https://ui.perfetto.dev" in said
    assert "out.html (" in said


def test_options_may_follow_and_the_page_is_named_after_the_program(tmp_path: Path) -> None:
    done = trace(tmp_path, "prog.py", "2", "-n", "2")
    assert (done.returncode, done.stdout) == (0, "40 2\n40 2\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prog.html", "prog.py"]
    assert "2 teams, 2 runs" in done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines()[3:8]] == ["worker", "0/0", "0/1", "1/0", "1/1"]


def test_of_a_program_that_fails_there_is_a_timeline_too(tmp_path: Path) -> None:
    done = trace(tmp_path, "prog.py", "1", "fail", "-o", "out.json")
    assert done.returncode == 3
    check(json.loads((tmp_path / "out.json").read_text()))


def test_a_program_that_ends_without_terminating_its_team_has_one(tmp_path: Path) -> None:
    program = PROGRAM.replace("with pydsm.Team() as team:", "team = pydsm.Team(2)\n        if True:")
    done = trace(tmp_path, "prog.py", "-o", "out.json", program=program)
    assert (done.returncode, done.stdout) == (0, "40 2\n")
    check(json.loads((tmp_path / "out.json").read_text()))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_the_environment_asks_for_one_file_of_all_teams(tmp_path: Path, start: str) -> None:
    program = PROGRAM.replace("pydsm.Team()", f"pydsm.Team(2, start='{start}')")
    (tmp_path / "prog.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYDSM_TRACE": "all.json"}
    command = [sys.executable, "prog.py", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "40 2\n40 2\n", "")
    trace = json.loads((tmp_path / "all.json").read_text())
    check(trace)
    assert {event["pid"] for event in trace["traceEvents"]} == {1, 2}


def test_a_team_that_is_never_terminated_is_saved_at_the_end(tmp_path: Path) -> None:
    program = PROGRAM.replace("with pydsm.Team() as team:", "team = pydsm.Team(2)\n        if True:")
    (tmp_path / "prog.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYDSM_TRACE": "all.html"}
    done = subprocess.run(
        [sys.executable, "prog.py"], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "all.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "there is no program 'nowhere.py'"),
        (["-o", "out.txt", "prog.py"], "written to a .html or a .json file, not to 'out.txt'"),
        (["--html", "no/out.html", "prog.py"], "there is no folder 'no'"),
        (["--html", "out.json", "prog.py"], "--html takes a .html file, not 'out.json'"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_program_runs(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = trace(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_program_without_teams_is_told_so(tmp_path: Path) -> None:
    done = trace(tmp_path, "prog.py", program="print('nothing')")
    assert (done.returncode, done.stdout) == (0, "nothing\n")
    assert "ran no team, so there is no timeline" in done.stderr
    assert not (tmp_path / "prog.html").exists()


def test_the_limit_is_an_option(tmp_path: Path) -> None:
    done = trace(tmp_path, "--limit", "10", "-n", "1", "prog.py")
    assert done.returncode == 0
    assert "a worker may record 10" in done.stderr
    assert "12 lost" in done.stderr
