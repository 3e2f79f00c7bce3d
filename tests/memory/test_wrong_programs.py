"""On the teaching memories a wrong program is wrong every time, and a right one right every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pydsm
from tests.effort import LONG
from tests.memory import wrong_programs
from tests.memory.wrong_programs import turns

RUNS = 20 if LONG else 4


def results(memory: str, program: Callable[..., Any], which: str) -> list[tuple[Any, list[int]]]:
    found = []
    with pydsm.Team(2, memory=memory) as team:
        arrays = {name: team.array(name, 8, int) for name in "ABQ"}
        for _ in range(RUNS):
            turns.reset()
            for array in arrays.values():
                array[:] = 0
            found.append((team.run(program), arrays[which].tolist()))
    return found


@pytest.mark.parametrize("memory", ["release", "entry"])
@pytest.mark.parametrize("name", wrong_programs.GIVES)
def test_a_wrong_program_gives_its_wrong_result_every_time(name: str, memory: str) -> None:
    worked, which, left = wrong_programs.GIVES[name][memory]
    expected = worked, (left + [0] * 8)[:8]
    assert results(memory, getattr(wrong_programs, name), which) == [expected] * RUNS


@pytest.mark.parametrize("name", ["hand_over_under_another_lock", "announce_in_a_queue", "spin_on_a_flag"])
def test_a_coherent_memory_forgives_it(name: str) -> None:
    found = results("coherent", getattr(wrong_programs, name), "A")
    assert {str(worked) for worked, _ in found} == {str(wrong_programs.FORGIVEN[name])}


def count_under_a_lock(worker: pydsm.Worker) -> None:
    for _ in range(50):
        with worker["A"].locked(1):
            worker["A"][1] += 1


def stencil_with_a_barrier(worker: pydsm.Worker) -> int:
    A, B = worker["A"], worker["B"]
    mine = slice(4 * worker.rank, 4 * worker.rank + 4)
    A[mine] = 100
    worker.barrier()
    B[mine] = A[mine] + A[::-1][mine]
    return int(B[mine].sum())


def announce_under_both_locks(worker: pydsm.Worker) -> Any:
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        with pydsm.locked((Q, 0), (B, 3)):
            B[3], Q[0] = 9, 1
        turns.step()
        return None
    turns.wait(1)
    with pydsm.locked((Q, 0), (B, slice(None))):
        return [int(Q[0]), int(B[3])]


@pytest.mark.parametrize("memory", ["coherent", "release", "entry"])
@pytest.mark.parametrize(
    ("program", "which", "expected"),
    [
        (count_under_a_lock, "A", ([None, None], [0, 100, 0, 0, 0, 0, 0, 0])),
        (stencil_with_a_barrier, "B", ([800, 800], [200] * 8)),
        (announce_under_both_locks, "B", ([None, [1, 9]], [0, 0, 0, 9, 0, 0, 0, 0])),
    ],
)
def test_the_right_program_gives_its_right_result_every_time(
    memory: str, program: Callable[..., Any], which: str, expected: Any
) -> None:
    assert results(memory, program, which) == [expected] * RUNS
