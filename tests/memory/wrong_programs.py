"""Programs that break the rule of docs/memory-model.md; steps that are not pydsm's keep them in order.

Each is what somebody might write, and right by luck on a coherent memory.  `Turns` orders what
the workers do without synchronising them in pydsm's eyes: so what a program gives is its memory's
doing, not the operating system's.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Any

import numpy as np

import pydsm


class Turns:
    """A counter that forked processes share, behind pydsm's back."""

    def __init__(self) -> None:
        self._count = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64)

    def reset(self) -> None:
        self._count[0] = 0

    def wait(self, number: int) -> None:
        """Wait until so many steps have been done."""
        end = time.monotonic() + 30
        while self._count[0] < number:
            os.sched_yield()
            assert time.monotonic() < end, f"step {number} never came"

    def step(self) -> None:
        """Say that one more has been done."""
        self._count[0] += 1


turns = Turns()


def count_without_a_lock(worker: pydsm.Worker) -> None:
    for _ in range(300):
        worker["A"][1] += 1


def hand_over_under_another_lock(worker: pydsm.Worker) -> Any:
    """The lock of row 0 publishes row 0, not row 1."""
    A = worker["A"]
    if worker.rank == 0:
        A[1] = 70
        with A.locked(0):
            A[0] = 1
        turns.step()
        return None
    turns.wait(1)
    with A.locked(0):
        assert A[0] == 1
        return int(A[1])


def announce_in_a_queue(worker: pydsm.Worker) -> Any:
    """The lock of Q does not publish B."""
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[3] = 9
        with Q.locked(0):
            Q[0] = 1
        turns.step()
        return None
    turns.wait(1)
    with Q.locked(0):
        return [int(Q[0]), int(B[3])]


def spin_on_a_flag(worker: pydsm.Worker) -> Any:
    """A bare read need never see another's write."""
    A = worker["A"]
    if worker.rank == 0:
        A[0] = 42
        turns.step()
        turns.wait(2)
        return None
    turns.wait(1)
    seen = [int(A[0]) for _ in range(1000)][-1]
    turns.step()
    return seen


def stencil_without_a_barrier(worker: pydsm.Worker) -> int:
    """Each half reads what the other has not finished."""
    A, B = worker["A"], worker["B"]
    mine, other = slice(4 * worker.rank, 4 * worker.rank + 4), slice(4 - 4 * worker.rank, 8 - 4 * worker.rank)
    A[mine] = 100
    turns.step()
    turns.wait(worker.size)
    B[mine] = A[mine] + A[other]
    return int(B[mine].sum())


def fence_on_one_side(worker: pydsm.Worker) -> Any:
    """It takes two fences; where locks publish everything, one and a lock are enough."""
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[:] = 5
        B.fence()
        with Q.locked(0):
            Q[0] = 1
        turns.step()
        return None
    turns.wait(1)
    with Q.locked(0):
        before = int(B.sum())
    B.fence()
    return [before, int(B.sum())]


def write_beside_an_atomic(worker: pydsm.Worker) -> int:
    """A plain update of an element that is updated atomically elsewhere: one of the two is lost."""
    A = worker["A"]
    if worker.rank == 0:
        turns.wait(1)
        A[2] += 10
        turns.step()
    else:
        A.fetch_add(2, 1)
        turns.step()
        turns.wait(2)
    worker.barrier()
    return int(A[2])


def race_and_meet(worker: pydsm.Worker) -> list[int]:
    """Everybody writes everything; all see the same afterwards."""
    A = worker["A"]
    A[:] = worker.rank + 1
    worker.barrier()
    return A.tolist()


def write_in_a_shared_region(worker: pydsm.Worker) -> list[int]:
    """Sharers do not see one another; who comes exclusively sees them all."""
    A = worker["A"]
    for turn in range(worker.rank):
        turns.wait(turn + 1)
    with A.locked(0, shared=True):
        seen = int(A[0])
        A[0] = seen + 10**worker.rank
    turns.step()
    turns.wait(worker.size)
    if worker.rank == 0:
        with A.locked(0):
            turns.step()
            return [seen, int(A[0])]
    turns.wait(worker.size + 1)
    return [seen]


_SAME = {  # programs that give the same on both memories: the workers' results, and one array at the end
    "count_without_a_lock": ([None, None], "A", [0, 300]),
    "spin_on_a_flag": ([None, 0], "A", [42]),
    "stencil_without_a_barrier": ([400, 400], "B", [100] * 8),
    "write_beside_an_atomic": ([1, 1], "A", [0, 0, 1]),
    "race_and_meet": ([[2] * 8] * 2, "A", [2] * 8),
    "write_in_a_shared_region": ([[0, 10], [0]], "A", [10]),
}
GIVES: dict[str, dict[str, tuple[Any, str, list[int]]]] = {
    **{name: {"release": given, "entry": given} for name, given in _SAME.items()},
    "hand_over_under_another_lock": {"release": ([None, 70], "A", [1, 70]), "entry": ([None, 0], "A", [1, 70])},
    "announce_in_a_queue": {
        "release": ([None, [1, 9]], "B", [0, 0, 0, 9]),
        "entry": ([None, [1, 0]], "B", [0, 0, 0, 9]),
    },
    "fence_on_one_side": {"release": ([None, [40, 40]], "B", [5] * 8), "entry": ([None, [0, 40]], "B", [5] * 8)},
}
FORGIVEN = {  # what these give where memory is coherent
    "hand_over_under_another_lock": [None, 70],
    "announce_in_a_queue": [None, [1, 9]],
    "spin_on_a_flag": [None, 42],
}
