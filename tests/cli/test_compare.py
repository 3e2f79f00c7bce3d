"""`pydsm compare` finds what differs between memories, and only that."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from pydsm.cli.differences import Trial, differences, unstable
from pydsm.snapshot import Run

HEAD = "import os, sys, pydsm\nimport numpy as np\n"

HAND_OVER = HEAD + textwrap.dedent("""
    def program(worker):
        A, Q = worker["A"], worker["Q"]
        if worker.rank == 0:
            A[3] = 9
            with Q.locked(0):
                Q[0] = 1
            return 0
        while True:
            with Q.locked(0):
                if Q[0]:
                    break
        A[5] = A[3]
        return int(A[5])

    with pydsm.Team(2) as team:
        A, Q = team.array("A", 8, int), team.array("Q", 1, int)
        print("process", os.getpid())
        print("results", team.run(program))
""")


def compare(tmp_path: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "prog.py"
    path.write_text(program)
    command = [sys.executable, "-m", "pydsm", "compare", *options, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "80"})
    assert result.stderr == ""
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    return result


def test_a_wrong_program_is_shown_where_it_differs(tmp_path: Path) -> None:
    result = compare(tmp_path, HAND_OVER)
    assert result.returncode == 1
    assert result.stdout == textwrap.dedent("""\
        coherent, twice: 2 lines of output, 1 run of teams
          not the same both times, which no memory is to blame for:
            output: 1 of 2 lines
        release: the same
        entry: 2 lines of output, 1 run of teams
          output: 1 of 2 lines
                      coherent        entry
              line 2  results [0, 9]  results [0, 0]
          results of run 1 of team 1: of 1 of 2 workers
                      coherent  entry
              rank 1  9         0
          array 'A' after run 1 of team 1: 1 of 8 elements
                   coherent  entry
              [5]  9         0
    """)


def test_the_right_program_is_the_same_everywhere(tmp_path: Path) -> None:
    right = HAND_OVER.replace("if worker.rank == 0:", "if worker.rank == 0:\n        A.locked(3).__enter__()")
    right = HAND_OVER.replace("A[3] = 9\n", "A[3] = 9\n        A.fence()\n").replace(
        "    A[5] = A[3]", "    A.fence()\n    A[5] = A[3]"
    )
    result = compare(tmp_path, right)
    assert result.returncode == 0
    assert result.stdout.endswith("release: the same\nentry: the same\n")


def test_what_c_code_writes_is_compared_too(tmp_path: Path) -> None:
    native = HAND_OVER.replace("A[3] = 9", "import ctypes; ctypes.memset(A.ctypes.data + 24, 9, 1)")
    result = compare(tmp_path, native, "--memory", "entry")
    assert result.returncode == 1
    assert "[5]  9         0" in result.stdout
    assert "release" not in result.stdout


def test_a_program_that_waits_for_what_never_comes_is_ended(tmp_path: Path) -> None:
    spin = HEAD + textwrap.dedent("""
        def program(worker):
            A = worker["A"]
            A[worker.rank] = 1
            while A[1 - worker.rank] == 0:
                pass

        with pydsm.Team(2) as team:
            A = team.array("A", 2, int)
            team.run(program)
    """)
    result = compare(tmp_path, spin, "--timeout", "2.5", "--memory", "release")
    assert result.returncode == 1
    assert "release: did not end" in result.stdout


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    result = compare(tmp_path, HAND_OVER + "    assert A[5] == 9\n", "--memory", "entry")
    assert result.returncode == 1
    assert "exit code\n        coherent  entry\n        0         1" in result.stdout
    assert "its last words: AssertionError" in result.stdout


def test_controlled_schedules_are_tried_as_well(tmp_path: Path) -> None:
    result = compare(tmp_path, HAND_OVER, "--seeds", "1", "--memory", "entry")
    assert result.returncode == 1
    assert "coherent, seed 0: the same" in result.stdout
    assert "entry, seed 0: 2 lines" in result.stdout


def test_a_team_that_names_its_memory_is_said_to_keep_it(tmp_path: Path) -> None:
    result = compare(tmp_path, HAND_OVER.replace("Team(2)", "Team(2, memory='release')"), "--memory", "entry")
    assert result.returncode == 0
    assert "entry: the same, but teams that name their memory had release" in result.stdout


@pytest.mark.parametrize("arguments", [["--memory", "strong", "x.py"], ["there_is_none.py"]])
def test_what_cannot_be_compared_is_refused(arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "pydsm", "compare", *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("pydsm: ")


# -- what counts as different ------------------------------------------------------------


def trial(output: str = "", code: int | None = 0, **arrays: object) -> Trial:
    run = Run(["0"], "coherent", {name: np.asarray(array) for name, array in arrays.items()})
    return Trial("coherent", code, output.splitlines(), {(1, 1, 1): run})


def found(one: Trial, other: Trial, now: Trial) -> list[str]:
    return [f"{difference.what} {difference.where}" for difference in differences(one, other, now)]


@pytest.mark.parametrize(
    ("one", "other", "now", "expected"),
    [
        ([1, 2], [1, 2], [1, 2], 0),
        ([1, 2], [1, 2], [1, 3], 1),
        ([1, 600], [1, 365], [1, 400], 0),
        ([1, 600], [1, 365], [1, 300], 1),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0 + 1e-15], 0),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0 + 1e-3], 1),
        ([1.0, 2.0], [1.0, 2.5], [1.0, 7.0], 0),
        ([np.nan, np.inf], [np.nan, np.inf], [np.nan, np.inf], 0),
        ([np.nan, np.inf], [np.nan, np.inf], [np.nan, 1.0], 1),
        ([1j, 2], [1j, 2], [1j, 3], 1),
        ([b"a", b"b"], [b"a", b"b"], [b"a", b"c"], 1),
        ([True, False], [True, True], [True, False], 0),
        (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2)), 0),
        ([1, 2], [1, 2], [1, 2, 3], 1),
    ],
)
def test_an_element_differs_if_it_is_as_in_neither_run(one: object, other: object, now: object, expected: int) -> None:
    assert len(found(trial(A=one), trial(A=other), trial(A=now))) == expected


def test_lines_that_differ_by_themselves_are_not_compared() -> None:
    assert found(trial("pid 1\nx"), trial("pid 2\nx"), trial("pid 3\nx")) == []
    assert found(trial("pid 1\nx"), trial("pid 2\nx"), trial("pid 3\ny")) == ["output 1 of 2 lines"]
    assert found(trial("b\na"), trial("a\nb"), trial("b\na")) == []
    assert found(trial("b\na"), trial("b\na"), trial("a\nb")) == ["output 2 of 2 lines"]
    assert found(trial("a"), trial("a"), trial("a\nb")) == ["output 2 lines, and were 1"]


def test_a_run_that_did_not_end_or_ended_otherwise_differs() -> None:
    assert found(trial(), trial(), trial(code=None)) == ["the program did not end, and needed 0.0 s before"]
    assert found(trial(), trial(), trial(code=3)) == ["exit code "]
    failed = Trial("release", 0, [], {(1, 1, 1): Run(None, "release")})
    assert found(trial(), trial(), failed) == ["run 1 of team 1 "]
    assert found(trial(), trial(), Trial("release", 0, [], {})) == ["the runs of its teams are 0, and were 1"]


def test_what_is_not_the_same_twice_is_told() -> None:
    assert unstable(trial("1", A=[1.0]), trial("1", A=[1.0])) == []
    assert unstable(trial("1", A=[1.0]), trial("2", A=[1.5])) == [
        "output: 1 of 1 lines",
        "array 'A' after run 1 of team 1: 1 of 1 elements",
    ]
    assert unstable(trial(A=[1.0]), trial(A=[1.0 + 1e-15])) == ["array 'A' after run 1 of team 1, in the last digits"]
