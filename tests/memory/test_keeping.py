"""What a worker keeps of replicas and of the log, and what it lets go."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.core.diff import Diff
from pydsm.core.events import observers
from pydsm.core.interval import Interval
from pydsm.memory.heard import Heard
from tests.memory.wrong_programs import turns

NewTeam = Callable[..., pydsm.Team]


@pytest.fixture(params=["release", "entry"])
def new_team(request: pytest.FixtureRequest) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, memory=request.param, **options)

    return make


def _mappings() -> int:
    with open("/proc/self/maps") as lines:
        return sum("pydsm" in line or "memfd" in line or "deleted" in line for line in lines)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("how", ["create", "lock", "barrier"])
def test_removed_arrays_that_were_let_go_are_mapped_no_more(new_team: NewTeam, how: str, twice: bool) -> None:
    def program(worker: pydsm.Worker) -> tuple[int, int]:
        counts = []
        for _ in range(12):
            B = pydsm.create(f"B{worker.rank}", 10_000, int)
            same = pydsm.attach(f"B{worker.rank}", readonly=True) if twice else None
            B[:] = 1
            pydsm.unlink(f"B{worker.rank}")
            del B, same
            if how == "lock":
                with worker["A"].locked(worker.rank):
                    worker["A"][worker.rank] += 1
            elif how == "barrier":
                worker.barrier()
            counts.append(_mappings())
        return counts[2], counts[-1]

    with new_team(2) as team:
        team.array("A", 2, int)
        assert all(early == late for early, late in team.run(program))


def test_arrays_let_go_but_not_removed_are_given_back_at_a_barrier(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        seen = []
        for turn in range(4):
            B = pydsm.attach("B")
            B[worker.rank] = turn + 1
            del B
            B = pydsm.attach("B")  # it has what this worker wrote
            seen.append(int(B[worker.rank]))
            del B
            worker.barrier()
            known = observers()[0]._replicas  # type: ignore[attr-defined]
            seen.append(len(known))
            worker.barrier()
            seen.append(int(pydsm.attach("B")[1 - worker.rank]))
        return seen

    with new_team(2) as team:
        team.array("A", 1, int)
        pydsm.create(f"{team.namespace}/B", 2, int)
        try:
            results = team.run(program)
            assert results == [[1, 1, 1, 2, 1, 2, 3, 1, 3, 4, 1, 4]] * 2
        finally:
            team.delete("B")


def test_who_still_has_a_removed_array_sees_what_was_written_before_it_was_let_go(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        B = pydsm.attach("B")
        worker.barrier()
        if worker.rank == 0:
            B[1] = 5
            pydsm.unlink("B")
            del B
            with worker["A"].locked(0):
                worker["A"][0] += 1
            turns.step()
            worker.barrier()
            return 5
        turns.wait(1)
        B.fence()
        seen = int(B[1])
        worker.barrier()
        return seen

    turns.reset()
    with new_team(2) as team:
        team.array("A", 1, int)
        pydsm.create(f"{team.namespace}/B", 2, int)
        assert team.run(program) == [5, 5]


def _kept() -> int:
    gc.collect()
    return sum(type(thing) is Interval for thing in gc.get_objects())


def test_intervals_that_nothing_asks_for_are_kept_by_their_places_alone() -> None:
    parts = [
        Interval(1, n, np.array([0, n, n]), (), {7: Diff(np.array([n]), np.array([10 * n], np.uint64))}).to_bytes(
            {7: 8}
        )
        for n in range(1, 101)
    ]
    log = b"".join(parts)
    heard = Heard(0, 2, lambda start, stop: log[start:stop])
    first = sum(map(len, parts[:40]))
    before = _kept()
    heard.read(log[:first], 0)
    assert heard.newly_covered() == []
    heard.read(log[first:], first)
    assert heard.newly_covered() == []
    assert _kept() == before
    heard.clock[:] = 0, 60, 60
    assert [interval.number for interval in heard.newly_covered()] == list(range(1, 61))
    heard.see_everything()
    late = heard.newly_covered()
    assert [interval.number for interval in late] == list(range(61, 101))
    assert [interval.diffs[7].values.tolist() for interval in late] == [[10 * n] for n in range(61, 101)]
    assert heard.newly_covered() == []


def test_an_atomic_operation_and_a_fence_find_what_was_left_in_the_log(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A, B = worker["A"], worker["B"]
        if worker.rank == 1:
            for turn in range(50):
                with A.locked(1):
                    A[1] = turn + 1
                    B[turn] = turn
            B.fence()
            turns.step()
            turns.wait(2)
            return []
        for _ in range(20):
            with A.locked(0):
                A[0] += 1
        turns.wait(1)
        with A.locked(0):
            before = int(A[1])
        seen = int(A.load_acquire(1))
        B.fence()
        turns.step()
        return [before, seen, int(B.sum())]

    turns.reset()
    with new_team(2) as team:
        team.array("A", 2, int)
        team.array("B", 50, int)
        assert team.run(program)[0] == [0, 50, sum(range(50))]
