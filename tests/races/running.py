"""Runs a program of the suite under a check, and says which lines it was told of."""

from __future__ import annotations

import os
from typing import Any

import pydsm
from tests.races.programs import Program

__all__ = ["lines_of", "run"]


class Turns:
    """Lets workers go one after the other, by something that the detector knows nothing of: a pipe to each."""

    def __init__(self, size: int, order: list[int]) -> None:
        self._order, self._pipes = order, [os.pipe() for _ in range(size)]
        os.write(self._pipes[order[0]][1], b"x")

    def wait_for(self, rank: int) -> None:
        os.read(self._pipes[rank][0], 1)

    def done(self, rank: int) -> None:
        place = self._order.index(rank) + 1
        if place < len(self._order):
            os.write(self._pipes[self._order[place]][1], b"x")

    def close(self) -> None:
        for reading, writing in self._pipes:
            os.close(reading)
            os.close(writing)


def run(program: Program, size: int, check: str, **options: Any) -> tuple[Any, ...]:
    """Return the races that are found."""
    with pydsm.Team(size, check=check, **options) as team:
        arrays = {name: _make(team, name, wanted, program.options) for name, wanted in program.arrays.items()}
        for name in program.locks:
            team.lock(name)
        turns = Turns(size, list(range(size)))
        closed = next(iter(arrays.values()))
        try:
            for turn in range(program.runs):
                team.run(_call, program.function, turn, turns, lambda: closed)
        finally:
            turns.close()
        return team.races


def _make(team: pydsm.Team, name: str, wanted: Any, options: dict[str, Any]) -> Any:
    shape, dtype = wanted if isinstance(wanted, tuple) else (wanted, float)
    array = team.array(name, shape, dtype, **options)
    if array.flags.writeable and array.dtype.fields is None:
        array[...] = 0  # the parent's accesses come before those of every worker
    return array


def _call(worker: Any, function: Any, turn: int, turns: Turns, closed: Any) -> None:
    worker.resources |= {"turn": turn, "first": turns, "closed": closed}
    function(worker)


def lines_of(race: Any) -> tuple[int, int]:
    """Return the lines of a race, the smaller one first."""
    first, second = sorted((race.access.place.line, race.previous.place.line))
    return first, second
