"""Programs that were wrong once, each by one order of events; run on rank 0 of an MPI job (`inside`).

Rank 0 of the team is on the first node, which is home of the first rows; the last two ranks are on the last node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.mpi.array import engine
from tests.mpi.litmus import TURNS, _no_leaks, team

__all__ = ["_no_leaks", "team"]


@pytest.fixture(autouse=True)
def _two_nodes(team: pydsm.Team) -> None:
    crew: Any = team._crew
    if crew is None or crew.nodes < 2:
        pytest.skip("these are of a team on several nodes")


def say(Q: pydsm.GlobalArray, number: int) -> None:
    with Q.locked(0):
        Q[0] = number


def hear(Q: pydsm.GlobalArray, number: int) -> None:
    while True:
        with Q.locked(0):
            if Q[0] >= number:
                return


def test_a_write_that_is_taken_back_before_anybody_noted_it_was_seen_by_nobody(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A, Q = worker["A"], worker["Q"]
        if worker.rank == 0:
            with A.locked(1):
                A[1] = 5  # in the same stripe, so that there is something to fetch
            A[0] = 1
            say(Q, 1)
            hear(Q, 2)
            A[0] = 0
        elif worker.rank == worker.size - 1:
            hear(Q, 1)
            A.fence()
            say(Q, 2)
        worker.barrier()
        seen: list[int] = A[:2].tolist()
        worker.barrier()
        with A.locked(0):
            return [*seen, int(A[0])]

    team.array("A", 16, int, stripes=4)
    team.array("Q", 4, int)
    assert team.run(program) == [[0, 5, 0]] * team.size


def test_rows_that_are_put_apart_from_one_another_are_fetched_together(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, stale = worker["A"], 0
        rows = np.arange(0, len(A) // 4, 2)
        for turn in range(1, TURNS):
            if worker.rank == 0:
                A.put(rows, np.full(len(rows), turn))
            elif worker.rank == worker.size - 1:
                for _ in range(3):
                    A.fence()
            worker.barrier()
            stale += int((A[rows] != turn).any())
            worker.barrier()
        return stale

    team.array("A", 8000, int, stripes=4)
    assert team.run(program) == [0] * team.size


def test_an_array_that_is_made_anew_under_its_name_is_the_one_that_barriers_know(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 0:
            pydsm.create("T", 4000, int)
        worker.barrier()
        if worker.rank == 0:
            pydsm.unlink("T")
            pydsm.create("T", 4000, int)
        worker.barrier()
        if worker.rank == worker.size - 1:
            pydsm.attach("T")[:] = 7
        worker.barrier()
        return int((pydsm.attach("T") == 7).sum()) if worker.rank == 0 else 4000

    assert team.run(program) == [4000] * team.size


def test_who_has_an_array_goes_on_when_its_name_is_removed(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, Q = worker["A"], worker["Q"]
        if worker.rank == worker.size - 1:
            with A.locked(0):
                say(Q, 1)
                hear(Q, 2)
            for row in range(4):
                with A.locked(row):
                    A[row] = 1
        if worker.rank == 0:
            hear(Q, 1)
            pydsm.unlink("A")
            say(Q, 2)
        return True

    team.array("A", 16, int, stripes=4)
    team.array("Q", 4, int)
    assert team.run(program) == [True] * team.size


def test_what_was_not_had_in_time_is_so_while_a_sibling_sends_much(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, Y, had = worker["A"], worker["Y"], 0
        if worker.rank == worker.size - 1:
            for turn in range(8):
                A.put(range(len(A) // 4), np.full(len(A) // 4, turn))
            say(worker["Q"], 1)
        elif worker.rank == worker.size - 2:
            done = False
            while not done:
                try:
                    with Y.locked(0, timeout=0):
                        had += 1
                except pydsm.LockTimeoutError:
                    pass
                with worker["Q"].locked(0):
                    done = bool(worker["Q"][0])
            return min(had, 1)
        return 1

    team.array("A", 4_000_000, int)
    team.array("Y", 16, int)
    team.array("Q", 4, int)
    assert team.run(program) == [1] * team.size


@pytest.mark.parametrize("rows", [100, 100_000])
def test_who_sleeps_in_a_barrier_has_sent_what_a_sibling_needs(team: pydsm.Team, rows: int) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, Y = worker["A"], worker["Y"]
        if worker.rank == worker.size - 1:
            with A.locked(range(rows)):
                A[:rows] = 3
            Y.store_release(1, 1)
        elif worker.rank == worker.size - 2:
            Y.wait_until(1, "==", 1)
            with Y.locked(0):
                Y[0] += 1
        worker.barrier()
        return int(A[:rows].sum())

    team.array("A", 4 * rows, int, stripes=4)
    team.array("Y", 4, int)
    assert team.run(program) == [3 * rows] * team.size


def test_a_region_of_one_row_is_entered_in_native_code(team: pydsm.Team) -> None:
    """What makes it fast is taken, whatever threads the ranks of a job have of themselves."""

    def program(worker: pydsm.Worker) -> int:
        A, working = worker["A"], engine()
        assert working is not None, "the team is on one node"

        def slowly(*what: Any) -> None:
            raise AssertionError("a region of one row was asked for by the engine")

        working.enter = slowly  # type: ignore[method-assign]
        for row in range(len(A)):
            with A.locked(row):
                A[row] += 1
        return len(A)

    A = team.array("A", 3 * team.size, int)
    assert team.run(program) == [len(A)] * team.size
    assert A.tolist() == [team.size] * len(A)
