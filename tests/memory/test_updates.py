"""An update with ``undo=True`` is a whole on replicas too, whatever synchronises inside it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import pydsm
from tests.memory.wrong_programs import turns
from tests.programs import until

NewTeam = Callable[..., pydsm.Team]


@pytest.fixture(params=["coherent", "release", "entry"])
def new_team(request: pytest.FixtureRequest) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, memory=request.param, **options)

    return make


def _region(worker: pydsm.Worker) -> None:
    with worker["B"].locked(0):
        worker["B"][0] += 1


def _fenced_region(worker: pydsm.Worker) -> None:
    with worker["B"].locked(0, fence=True):
        worker["B"][0] += 1


def _inner_update(worker: pydsm.Worker) -> None:
    with worker["A"].locked(0, undo=True):
        worker["A"][0] -= 1


def _inner_region(worker: pydsm.Worker) -> None:
    with worker["A"].locked(0):
        worker["A"][0] -= 1


def _atomic(worker: pydsm.Worker) -> None:
    worker["B"].fetch_add(1, 1)


def _fence(worker: pydsm.Worker) -> None:
    worker["A"].fence()


def _lock(worker: pydsm.Worker) -> None:
    with worker["L"]:
        pass


INSIDE = [_region, _fenced_region, _inner_update, _inner_region, _atomic, _fence, _lock]


def _as_it_is(worker: pydsm.Worker) -> list[int]:
    A = worker["A"]
    A.fence()
    with A.locked([0, 1], undo=True, recover=True):
        return A.tolist()


@pytest.mark.parametrize("inside", INSIDE)
def test_a_death_undoes_an_update_that_synchronised_inside(
    new_team: NewTeam, inside: Callable[[pydsm.Worker], None]
) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked([0, 1], undo=True, recover=True):
                A[0] -= 10
                inside(worker)
                os.kill(os.getpid(), signal.SIGKILL)
        worker.barrier()
        return _as_it_is(worker)

    with new_team(2, on_death="continue") as team:
        A = team.array("A", 3, int)
        team.array("B", 3, int)
        team.lock("L")
        assert team.run(program)[0] == [0, 0, 0]
        assert A.tolist() == [0, 0, 0]


def test_a_death_after_a_barrier_inside_undoes_the_update(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked([0, 1], undo=True):
                A[:] = 5, -5, 7  # the last is in no update
                worker.barrier()
                assert A.tolist() == [5, -5, 7]
                os.kill(os.getpid(), signal.SIGKILL)
        worker.barrier()
        until(lambda: _is_abandoned(A))
        return _as_it_is(worker)

    def _is_abandoned(A: Any) -> bool:
        with A.locked(0, recover=True):
            return True

    with new_team(2, on_death="continue") as team:
        A = team.array("A", 3, int)
        assert team.run(program)[0] == [0, 0, 7]
        assert A.tolist() == [0, 0, 7]


def test_a_death_undoes_an_update_of_several_arrays(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        A, B = worker["A"], worker["B"]
        if worker.rank == 1:
            with pydsm.locked((A, 0), (B, [0, 2]), undo=True):
                A[0], B[2] = -1, 1
                with worker["L"]:
                    A[1] = 4
                os.kill(os.getpid(), signal.SIGKILL)
        worker.barrier()
        with worker["L"], pydsm.locked((A, 0), (B, [0, 2]), undo=True, recover=True):
            return [A.tolist(), B.tolist()]

    with new_team(2, on_death="continue") as team:
        team.array("A", 2, int)
        team.array("B", 3, int)
        team.lock("L")
        assert team.run(program)[0] == [[0, 4], [0, 0, 0]]


def test_an_inner_update_that_ended_lasts_where_the_outer_one_does_not_reach(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked([0, 1], undo=True):
                A[:2] = 1
                with A.locked([1, 2], undo=True):
                    A[1:] = 2
                os.kill(os.getpid(), signal.SIGKILL)
        worker.barrier()
        with A.locked(None, undo=True, recover=True):
            return A.tolist()

    with new_team(2, on_death="continue") as team:
        team.array("A", 3, int)
        assert team.run(program)[0] == [0, 0, 2]


def test_what_the_rows_were_before_the_update_is_published_inside_it(new_team: NewTeam) -> None:
    """It was written earlier, so who comes after an atomic operation in the update sees it, and a death keeps it."""

    def program(worker: pydsm.Worker) -> list[int]:
        A, flag = worker["A"], worker["flag"]
        if worker.rank == 1:
            A[:] = 8
            with A.locked([0, 1], undo=True):
                A[1] = 9
                flag.store_release(0, 1)
                os.kill(os.getpid(), signal.SIGKILL)
        flag.wait_until(0, "==", 1)
        seen = int(A[0])
        worker.barrier()
        with A.locked(None, undo=True, recover=True):
            return [seen, *A.tolist()]

    with new_team(2, on_death="continue") as team:
        team.array("A", 2, int)
        team.array("flag", 1, int)
        assert team.run(program)[0] == [8, 8, 8]


def test_only_the_elements_of_the_update_are_withheld(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, flag = worker["A"], worker["flag"]
        if worker.rank == 1:
            with A[:, 1].locked(2, undo=True) as element:
                element[...] = 1
                A[2, 0] = 5  # the neighbour, which is this worker's own
                flag.store_release(0, 1)
                os.kill(os.getpid(), signal.SIGKILL)
        flag.wait_until(0, "==", 1)
        seen = int(A[2, 0])
        worker.barrier()
        with A.locked(2, undo=True, recover=True):
            return seen * 10 + int(A[2, 1])

    with new_team(2, on_death="continue") as team:
        team.array("A", (4, 3), int)
        team.array("flag", 1, int)
        assert team.run(program)[0] == 50


def test_atomic_operations_of_others_on_rows_in_an_update_are_not_lost(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked(0, undo=True):
                A[0, 0] = 7
                A.fetch_add((0, 1), 1)
                turns.step()
                turns.wait(2)
        else:
            turns.wait(1)
            A.fetch_add((0, 1), 1)
            turns.step()
        worker.barrier()
        return A[0].tolist()

    turns.reset()
    with new_team(2) as team:
        A = team.array("A", (1, 2), int)
        assert team.run(program) == [[7, 2]] * 2
        assert A.tolist() == [[7, 2]]


def test_an_update_that_ends_is_published_as_a_whole(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, lock, wrong = worker["A"], worker["L"], 0
        for _ in range(40):
            with A.locked([0, 1], undo=True):
                wrong += int(A[0] + A[1] != 0)
                A[0] -= 1
                with lock:
                    A[2] += 1
                A[1] += 1
        return wrong

    with new_team(2) as team:
        A = team.array("A", 3, int)
        team.lock("L")
        assert team.run(program) == [0, 0]
        assert A.tolist() == [-80, 80, 80]


def test_entering_an_update_twice_leaves_it_withheld(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            region = A.locked(0, undo=True)
            with region:
                A[0] = 1
                with pytest.raises(RuntimeError, match="entered already"):
                    region.__enter__()
                A.fence()
                os.kill(os.getpid(), signal.SIGKILL)
        worker.barrier()
        return _as_it_is(worker)

    with new_team(2, on_death="continue") as team:
        team.array("A", 2, int)
        assert team.run(program)[0] == [0, 0]
