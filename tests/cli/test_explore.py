from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pydsm.cli import trials
from pydsm.cli.outcomes import Outcome, findings_of, of_error
from pydsm.control import Plan
from pydsm.errors import DeadlockError, WorkerDiedError, WorkerError

LOST = """
import sys
import pydsm

def deposit(worker):
    A = worker["A"]
    with A.locked(0):
        value = int(A[0])
    with A.locked(0):
        A[0] = value + 1

with pydsm.Team(2) as team:
    A = team.array("A", 1, int)
    team.run(deposit)
    print(A[0], *sys.argv[1:])
    {after}
"""
OPPOSED = """
import pydsm

def transfer(worker):
    A, mine = worker["A"], worker.rank
    with A.locked(mine), A.locked(1 - mine):
        A[mine] += 1

with pydsm.Team() as team:
    team.array("A", 2, int)
    team.run(transfer)
"""
SPINNING = """
import pydsm

def program(worker):
    A = worker["A"]
    A.fetch_add(1, 1)
    if worker.rank == 0:
        A[0] = 1
    while A[0] == 0:  # line 9
        pass

with pydsm.Team(2) as team:
    team.array("A", 2, int)
    team.run(program)
"""
MIXED = """
import os
import signal
import pydsm

def program(worker):
    A = worker["A"]
    if A.fetch_add(0, 1) == 0:
        return worker.rank
    if worker.rank == 0:
        raise ValueError("came second")
    os.kill(os.getpid(), signal.SIGKILL)

with pydsm.Team(3) as team:
    team.array("A", 1, int)
    team.run(program)
"""
RACING = """
import pydsm

def program(worker):
    A, flag = worker["A"], worker["flag"]
    if worker.rank == 0:
        A[0] = 1
        flag.store_release(0, 1)
    elif flag.load_acquire(0):
        A[0] += 1
    else:
        A[0] = 5  # before the other says that it is through

with pydsm.Team(2) as team:
    team.array("A", 2, int), team.array("flag", 1, int)
    team.run(program)
"""


def explore(
    folder: Path, program: str, *options: str, arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    (folder / "prog.py").write_text(program)
    command = [sys.executable, "-m", "pydsm", "explore", "--jobs", "2", *options, "prog.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=folder)


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {finding["kind"]: finding for finding in json.loads(done.stdout)["findings"]}


def replayed(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run the command that a finding is told with."""
    *settings, _, program = command.split()
    env = os.environ | dict(word.split("=", 1) for word in settings)
    return subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, cwd=folder, env=env)


def test_a_lost_update_is_found_with_the_command_that_replays_it(tmp_path: Path) -> None:
    program = LOST.format(after='assert A[0] == 2, "an update is lost"')
    done = explore(tmp_path, program, "--seeds", "12", "--json")
    found = listed(done)
    assert (done.returncode, done.stderr, set(found)) == (1, "", {"failure", "ok"})
    assert found["failure"]["what"] == "AssertionError: an update is lost"
    assert found["failure"]["replays"] is True
    assert sorted(found["failure"]["seeds"] + found["ok"]["seeds"]) == list(range(12))
    for kind, code in (("failure", 1), ("ok", 0)):
        assert replayed(tmp_path, found[kind]["replay"]).returncode == code


def test_what_right_runs_print_is_told_where_it_differs(tmp_path: Path) -> None:
    done = explore(tmp_path, LOST.format(after=""), "--seeds", "12", arguments=("--mine", "x"))
    assert done.returncode == 0
    assert re.search(r"^ok +\d+ +\d+  prints '1 --mine x\\n'$", done.stdout, re.MULTILINE)
    assert re.search(r"^ok +\d+ +\d+  prints '2 --mine x\\n'$", done.stdout, re.MULTILINE)
    assert "Right runs print 2 different things: the results depend on the schedule." in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_deadlock_is_one_finding_and_the_first_ends_it_if_asked(tmp_path: Path) -> None:
    options = ("--first", "--seeds", "60", "--strategy", "pct", "--depth", "2", "-n", "2")
    done = explore(tmp_path, OPPOSED, *options)
    assert done.returncode == 1
    assert len(re.findall("^deadlock +", done.stdout, re.MULTILINE)) == 1
    assert not done.stdout.startswith("60 runs")
    command = re.search("replay: (.*) python prog.py$", done.stdout, re.MULTILINE)
    assert command is not None
    said = re.fullmatch(r"PYDSM_SCHEDULE='(seed=\d+ strategy=pct depth=2 steps=\d+)' PYDSM_WORKERS=2", command[1])
    assert said is not None
    env = os.environ | {"PYDSM_SCHEDULE": said[1], "PYDSM_WORKERS": "2"}
    again = subprocess.run([sys.executable, "prog.py"], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert "DeadlockError" in again.stderr


def test_a_worker_that_spins_is_a_hang_and_it_is_said_where(tmp_path: Path) -> None:
    done = explore(tmp_path, SPINNING, "--start", "2", "--seeds", "3", "--timeout", "3", "--json")  # one hangs
    found = listed(done)
    assert (done.returncode, set(found)) == (1, {"hang", "ok"})
    assert re.fullmatch(
        r"rank 1, whose turn it is, computes, sleeps or spins, and came to no synchronisation for a part of 3 seconds; "
        r'it was in "prog.py", line (9|10) in program',
        found["hang"]["what"],
    )


def test_failures_and_deaths_are_told_apart(tmp_path: Path) -> None:
    found = listed(explore(tmp_path, MIXED, "--seeds", "15", "--json"))
    assert set(found) == {"failure", "death"}
    assert found["failure"]["what"] == "worker 0 raised ValueError: came second"
    assert re.fullmatch(r"worker [12] was killed by SIGKILL before it returned", found["death"]["what"])


def test_races_are_found_where_the_order_hides_them_from_a_single_run(tmp_path: Path) -> None:
    found = listed(explore(tmp_path, RACING, "--seeds", "15", "--check", "happens-before", "--json"))
    assert set(found) == {"race", "ok"}
    assert found["race"]["what"] == "data race on array 'A': prog.py:7 in program and prog.py:12 in program"
    assert "PYDSM_RACE=happens-before" in found["race"]["replay"]


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("print('no team')", "No team of the program ran under these schedules"),
        ("import os\nprint(os.getpid())", "the same seed does not print the same again"),
        ("import os\nraise ValueError(os.getpid())", "did not do the same again"),
    ],
)
def test_what_does_not_depend_on_the_schedule_is_said(tmp_path: Path, program: str, note: str) -> None:
    done = explore(tmp_path, program, "--seeds", "2")
    assert note in " ".join(done.stdout.split())


def test_how_a_program_left_is_told(tmp_path: Path) -> None:
    program = "import os, sys\n{}"
    for statement, kind, what in (
        ("sys.exit(3)", "failure", "the program left with 3"),
        ("print('why', file=sys.stderr, flush=True); os._exit(4)", "failure", "left with exit code 4: why"),
        ("os.kill(os.getpid(), 9)", "death", "killed by SIGKILL"),
        ("import atexit; atexit.register(print, 'bye'); sys.exit()", "ok", "bye\n"),
    ):
        found = listed(explore(tmp_path, program.format(statement), "--seeds", "1", "--json"))
        assert set(found) == {kind}
        assert what in found[kind]["what"]


def test_an_interrupt_ends_it_with_what_was_found_so_far_and_leaves_nothing(tmp_path: Path) -> None:
    statements = ["import os", "os.environ['PYDSM_SCHEDULE'] == '0' and os._exit(9)"]
    statements += ["print('there', file=open('sign', 'w'), flush=True)", "while True: pass"]
    (tmp_path / "prog.py").write_text("\n".join(statements))
    command = [sys.executable, "-m", "pydsm", "explore", "--jobs", "1", "prog.py"]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        while not (tmp_path / "sign").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert told.startswith("interrupted, 1 of 100\n")
    assert "left with exit code 9" in " ".join(told.split())
    assert [name for name in os.listdir(tmp_path) if name.startswith("pydsm-explore")] == []


def test_an_interrupt_of_the_run_that_counts_steps_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text("print('there', file=open('sign', 'w'), flush=True)\nwhile True: pass")
    command = [sys.executable, "-m", "pydsm", "explore", "--strategy", "pct", "prog.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        while not (tmp_path / "sign").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert told.startswith("interrupted, 0 of 100\n")


def test_where_nothing_is_found_unchecked_accesses_are_said_to_be_so(tmp_path: Path) -> None:
    program = LOST.format(after="")
    note = "Plain accesses were not looked at: --check predict does."
    assert note in explore(tmp_path, program, "--seeds", "1").stdout
    assert note not in explore(tmp_path, program, "--seeds", "1", "--check", "predict").stdout
    checked = program.replace("Team(2)", "Team(2, check='predict')")
    assert note not in explore(tmp_path, checked, "--seeds", "1").stdout
    assert note not in explore(tmp_path, program + "    raise KeyError", "--seeds", "1").stdout


def test_a_syntax_error_is_named(tmp_path: Path) -> None:
    found = listed(explore(tmp_path, "x = = 1", "--seeds", "1", "--json"))
    assert found["failure"]["what"] == "SyntaxError: invalid syntax (prog.py, line 1)"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--check", "bogus"], "check is one of 'happens-before', 'predict', 'strict', not 'bogus'"),
        (["--timeout", "-1"], "a number of seconds greater than 0, not '-1'"),
        (["--seeds", "x"], "a number from 1, not 'x'"),
        (["--start", "-3"], "a number from 0, not '-3'"),
    ],
)
def test_values_are_checked_before_anything_runs(tmp_path: Path, options: list[str], told: str) -> None:
    done = explore(tmp_path, "open('ran', 'w')", *options)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "_" not in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pydsm", "explore", "nowhere.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "pydsm: there is no program 'nowhere.py'\n")


def test_the_same_deadlock_of_other_ranks_and_the_same_failure_of_another_worker_are_one_finding() -> None:
    def deadlock(first: int, second: int) -> WorkerError:
        text = f"deadlock at x: rank {first} waits for A and holds B; rank {second} waits for B and holds A"
        error = WorkerError(f"worker {first} raised pydsm.DeadlockError: {text}", rank=first)
        error.__cause__ = DeadlockError(text, cycle=[])
        return error

    errors = [deadlock(0, 1), deadlock(1, 0), deadlock(2, 3)]
    errors += [WorkerError(f"worker {rank} raised ValueError: x\n\nmore", rank=rank) for rank in range(2)]
    errors += [
        WorkerDiedError(
            f"worker {rank} was killed by SIGKILL before it returned, holding rank {rank} (pid {rank + 40})"
        )
        for rank in range(2)
    ]
    found = findings_of(Outcome(Plan(seed), *of_error(error)) for seed, error in enumerate(errors))
    assert [(finding.kind, len(finding.runs)) for finding in found] == [("deadlock", 3), ("failure", 2), ("death", 2)]
    assert found[1].what == "worker 0 raised ValueError: x"


def test_runs_that_are_ended_before_they_wrote_anything_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(pipe: int, options: object, plan: Plan, path: str) -> None:
        if plan.seed:
            time.sleep(100)

    monkeypatch.setattr(trials, "_trial", begin)
    runs = trials.Trials(argparse.Namespace(), str(tmp_path), 2, 50.0).run([Plan(0), Plan(1)])
    assert next(runs).what.startswith("the program left with exit code 0")
    runs.close()
