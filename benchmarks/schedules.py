"""Loops whose items are not equally hard: who does which.

The points of the Mandelbrot set lie in few rows, and these come first, which is worst for
large pieces at the beginning; numbers to be tested for primality are many and small, and
larger ones are harder.  Each worker does the items that a schedule gives it, and a barrier
ends the loop.  After every run the results must be right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.random

from benchmarks.attempts import Row, attempt
from benchmarks.measure import Comparison, Run, Spread, Table, Target, interleave, spread
from benchmarks.settings import WORKERS, Settings
from benchmarks.workers import timed
from pydsm import Cluster, GlobalArray, Team, Worker

__all__ = ["TITLE", "rows"]

TITLE = "Loops of unequal items"
_PIXELS = 256
_STEPS = 200

Schedule = Callable[[Worker, int], Iterable[Iterable[int]]]
"""Gives a worker ranges or lists of the items 0 to n - 1, one after the other."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Items to be done, each of which has an int for its result."""

    what: str
    count: int
    quick_count: int
    do: Callable[[int, int], int]
    """Gets an item and how many there are."""

    def size(self, settings: Settings) -> int:
        """Return how many items there are."""
        return self.quick_count if settings.quick else self.count


def _row_of_mandelbrot(row: int, count: int) -> int:
    """Return how many points of a row stay bounded; the first row is the real axis."""
    points = np.linspace(-2, 0.6, _PIXELS) + 1.2j * row / count
    z = np.zeros_like(points)
    for _ in range(_STEPS):
        z = z * z + points
        inside = z.real**2 + z.imag**2 < 4
        points, z = points[inside], z[inside]
    return len(points)


def _is_prime(number: int, count: int) -> int:
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return 0
        divisor += 1
    return int(number > 1)


_LOOPS = (
    Loop("rows of the Mandelbrot set", 160, 60, _row_of_mandelbrot),
    Loop("numbers tested by division", 30_000, 5_000, _is_prime),
)
_SCHEDULES: dict[str, Schedule] = {
    "share(n)": lambda worker, n: worker.share(n),
    "share(n, chunk=1)": lambda worker, n: worker.share(n, chunk=1),
    "share(n, chunk=64)": lambda worker, n: worker.share(n, chunk=64),
    "splitIndices(n, random=True)": lambda worker, n: [Cluster.splitIndices(n, worker.rank)],
    "split(n)": lambda worker, n: [worker.split(n)],
}
_OURS = "share(n)"
_TARGETS = {"splitIndices(n, random=True)": Target(1)}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield guided shares beside other schedules, and then how long workers wait at the end."""
    tails: dict[str, list[Spread]] = {}
    for loop in _LOOPS:
        for size in WORKERS:
            what = f"{loop.size(settings)} {loop.what}, {size} workers"
            yield from attempt(what, settings, partial(_measure, what, loop, size, tails, settings))
    if tails:
        yield Table(
            "How long a worker waits for the last one at the end of a loop, on average",
            [("loop", None), *[(name, "time") for name in _SCHEDULES]],
            [[what, *cells] for what, cells in tails.items()],
        )


def _measure(what: str, loop: Loop, size: int, tails: dict[str, list[Spread]], settings: Settings) -> Iterator[Row]:
    with Team(size) as team:
        done = team.array("done", loop.size(settings), int)
        expected = np.array([loop.do(item, len(done)) for item in range(len(done))])
        runs = {name: _run(team, done, loop, schedule, expected) for name, schedule in _SCHEDULES.items()}
        seconds = interleave(runs, rounds=settings.team_rounds, seconds=settings.team_seconds)
        tails[what] = [
            spread([_wait(team, done, loop, schedule) for _ in range(settings.curve_rounds)])
            for schedule in _SCHEDULES.values()
        ]
    for name in runs:
        if name != _OURS:
            yield Comparison(what, name, "time", seconds[_OURS], seconds[name], _TARGETS.get(name))


def _run(team: Team, done: GlobalArray, loop: Loop, schedule: Schedule, expected: np.ndarray) -> Run:
    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        return partial(_repeat, worker, done, loop, schedule, count)

    def run(count: int) -> float:
        done[:] = -1
        seconds = timed(team, partial(prepare, count=count))
        if not np.array_equal(done, expected):
            raise RuntimeError(f"{np.count_nonzero(done != expected)} of {len(done)} {loop.what} came out wrong")
        return seconds

    return run


def _repeat(worker: Worker, done: GlobalArray, loop: Loop, schedule: Schedule, count: int) -> None:
    for _ in range(count):
        _do(worker, np.asarray(done), loop, schedule)
        worker.barrier()


def _do(worker: Worker, done: np.ndarray, loop: Loop, schedule: Schedule) -> None:
    n = len(done)
    for part in schedule(worker, n):
        for item in part:
            done[item] = loop.do(item, n)


def _wait(team: Team, done: GlobalArray, loop: Loop, schedule: Schedule) -> float:
    """Return the seconds from the end of a worker's last item to the end of everybody's, on average."""

    def go(worker: Worker) -> int:
        worker.barrier()
        _do(worker, np.asarray(done), loop, schedule)
        return time.monotonic_ns()

    ends = team.run(go)
    return float(max(ends) - np.mean(ends)) / 1e9
