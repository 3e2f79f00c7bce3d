"""Random programs, right and wrong ones, do on replicas exactly what the model of sets says."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import pydsm
from pydsm.memory import replica
from tests.effort import LONG
from tests.memory.model import NAMES, ROWS, Model, Step, program
from tests.memory.wrong_programs import turns

SIZE = 3
SEEDS = range(400 if LONG else 10)
LENGTH = 60


def follow(worker: pydsm.Worker, steps: list[Step]) -> list[tuple[int, Any]]:
    """Do this worker's steps of a program when it is their turn; return what its reads gave."""
    seen: list[tuple[int, Any]] = []
    regions: list[contextlib.ExitStack] = []
    for number, (rank, what, *rest) in enumerate(steps):
        if rank is None:
            turns.wait(number)
            worker.barrier()
            if worker.rank == 0:
                turns.step()
        elif rank == worker.rank:
            turns.wait(number)
            value = None
            if what == "unlock":
                regions.pop().close()
            elif what == "lock":
                regions.append(contextlib.ExitStack())
                regions[-1].enter_context(_region(worker, *rest))
            else:
                value = _do(worker, what, *rest)
            seen.append((number, value))
            turns.step()
    turns.wait(len(steps))  # the end of a worker publishes too
    return seen


def _region(worker: pydsm.Worker, name: str, rows: range | None, shared: bool) -> Any:
    if rows is None:
        return worker["L"]
    return worker[name].locked(slice(rows.start, rows.stop), shared=shared, timeout=0)


def _do(worker: pydsm.Worker, what: str, *rest: Any) -> Any:
    if what == "atomic":
        op, name, row, value = rest
        return getattr(worker[name], op)(row, *([] if op == "load_acquire" else [value]))
    name, *rest = rest
    if what == "read":
        return int(worker[name][rest[0]])
    if what == "write":
        worker[name][rest[0]] = rest[1]
    else:
        worker[name].fence()
    return None


@pytest.mark.parametrize("few", [0, replica._FEW], ids=["own pages", "everything"])
@pytest.mark.parametrize("memory", ["release", "entry"])
def test_random_programs_do_what_the_model_says(memory: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "_FEW", few)  # bytes that are compared without asking which pages to compare
    with pydsm.Team(SIZE, memory=memory) as team:
        arrays = {name: team.array(name, ROWS, int) for name in NAMES}
        team.lock("L")
        for seed in SEEDS:
            steps, model = program(seed, SIZE, LENGTH), Model(memory, SIZE)
            expected = [(number, model.do(step)) for number, step in enumerate(steps)]
            model.barrier()
            turns.reset()
            for array in arrays.values():
                array[:] = 0
            seen = sorted(pair for mine in team.run(follow, steps) for pair in mine)
            assert seen == [pair for pair, step in zip(expected, steps, strict=True) if step[0] is not None], seed
            assert {(name, row): int(arrays[name][row]) for name, row in model.home} == model.home, seed


def test_the_model_tells_the_two_memories_apart() -> None:
    """Else the test above could not fail where one is taken for the other."""
    differ = 0
    for seed in SEEDS:
        steps = program(seed, SIZE, LENGTH)
        given = []
        for memory in ("release", "entry"):
            model = Model(memory, SIZE)
            given.append([model.do(step) for step in steps])
        differ += given[0] != given[1]
    assert differ > len(SEEDS) // 4
