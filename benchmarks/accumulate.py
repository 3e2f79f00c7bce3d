"""Many additions to random rows in one call.

Two workers add at once; peers that nobody can run in parallel run alone, as their users
would have to.  Every one of them gets its rows and values as arrays, and after each run the
array must hold every addition.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.attempts import Row, absent, attempt, has
from benchmarks.draws import zipf
from benchmarks.figure import Figure, Series, table_of
from benchmarks.measure import Comparison, Run, Target, interleave
from benchmarks.remote import Remote
from benchmarks.settings import Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["TITLE", "numba_run", "rows"]

TITLE = "Many additions in one call"
_WORKERS = 2
_LENGTHS = (1_000, 16_384, 1_000_000, 10_000_000)
_EXPONENTS = {"uniform": 0.0, "Zipf": 1.2}
_OURS = f"A.accumulate(rows, values), {_WORKERS} workers"
_ADD_AT = "np.add.at, 1 process"
_TARGET = Target(2, at_least=True)

Array = np.ndarray[Any, Any]
Curves = dict[str, list[tuple[float, list[float]]]]
"""For each way the samples at each length."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is added, and where to."""

    length: int
    spread: str
    dtype: str
    updates: int

    def __str__(self) -> str:
        return f"{self.length} rows of {self.dtype}, {self.spread}"

    def rows_of(self, rank: int) -> Array:
        """Return the rows that one worker adds to."""
        return zipf(rank, self.length, self.updates, _EXPONENTS[self.spread])


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a line with the target for each case, then all peers in plots and tables."""
    yield from absent("numba")
    updates = 100_000 if settings.quick else 1_000_000
    lengths = _LENGTHS[:3] if settings.quick else _LENGTHS
    with ExitStack() as stack:
        threads = stack.enter_context(_threads()) if has("numba") else None
        for dtype in ("int64", "float64"):
            for spread in _EXPONENTS:
                curves: Curves = {}
                for length in lengths:
                    case = _Case(length, spread, dtype, updates)
                    yield from attempt(str(case), settings, partial(_measure, case, curves, threads, settings))
                yield from _show(curves, dtype, spread, updates)


def _measure(case: _Case, curves: Curves, threads: Remote | None, settings: Settings) -> Iterator[Row]:
    with Team(_WORKERS) as team:
        A = team.array("A", case.length, case.dtype)
        runs = _runs(case, team, A)
        if threads is not None:
            about = (case.length, case.spread, case.dtype, case.updates)
            runs[f"numba, {_WORKERS} threads, a copy for each"] = threads.bound(*about)
        seconds = interleave(runs, rounds=3 if settings.quick else 7, seconds=0.02 if settings.quick else 0.06)
    for name, samples in seconds.items():
        curves.setdefault(name, []).append((case.length, [case.updates / each for each in samples]))
    yield Comparison(f"A.accumulate on {case}", _ADD_AT, "rate", curves[_OURS][-1][1], curves[_ADD_AT][-1][1], _TARGET)


def _threads() -> Remote:
    # Of its layers the one that does not spin: on busy cpus it is up to ten times as fast.
    return Remote(__name__, "numba_run", environment={"NUMBA_THREADING_LAYER": "workqueue"})


def _runs(case: _Case, team: Team, A: GlobalArray) -> dict[str, Run]:
    """Return for each way the run in which `updates` are added as often as asked, in seconds for all."""
    B = np.asarray(A)
    mine = [case.rows_of(rank) for rank in range(team.size)]
    values = np.ones(case.updates, case.dtype)
    lock = multiprocessing.get_context("fork").Lock()
    alone = {_ADD_AT: partial(np.add.at, B), "np.bincount, 1 process": partial(_add_counted, B)}
    together = {
        _OURS: A.accumulate,
        f"multiprocessing.Lock around np.add.at, {team.size} workers": partial(_add_locked, B, lock),
        f"np.bincount, then the sum under a Lock, {team.size} workers": partial(_add_counted_locked, B, lock),
    }
    return {
        _OURS: _parallel(team, together.pop(_OURS), B, mine, values),
        **{name: _serial(add, B, mine[0], values) for name, add in alone.items()},
        **{name: _parallel(team, add, B, mine, values) for name, add in together.items()},
    }


def _serial(add: Callable[[Array, Array], object], B: Array, rows: Array, values: Array) -> Run:
    def run(count: int) -> float:
        B[:] = 0
        began = time.perf_counter()
        for _ in range(count):
            add(rows, values)
        seconds = time.perf_counter() - began
        _check(B, count * len(rows))
        return seconds

    return run


def _parallel(team: Team, add: Callable[[Array, Array], object], B: Array, mine: list[Array], values: Array) -> Run:
    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        add(mine[worker.rank][:1], values[:1] * 0)
        B[:: 4096 // B.itemsize].sum()  # its pages are in this worker's table, as they are in the parent's
        return partial(_repeat, add, mine[worker.rank], values, count)

    def run(count: int) -> float:
        B[:] = 0
        seconds = timed(team, partial(prepare, count=count))
        _check(B, count * len(values) * team.size)
        return seconds / team.size

    return run


def _repeat(add: Callable[[Array, Array], object], rows: Array, values: Array, count: int) -> None:
    for _ in range(count):
        add(rows, values)


def _add_counted(B: Array, rows: Array, values: Array) -> None:
    B += np.bincount(rows, values, minlength=len(B)).astype(B.dtype, copy=False)


def _add_locked(B: Array, lock: AbstractContextManager[Any], rows: Array, values: Array) -> None:
    with lock:
        np.add.at(B, rows, values)


def _add_counted_locked(B: Array, lock: AbstractContextManager[Any], rows: Array, values: Array) -> None:
    counts = np.bincount(rows, values, minlength=len(B)).astype(B.dtype, copy=False)
    with lock:
        np.add(B, counts, out=B)


def _check(B: Array, expected: int) -> None:
    if B.sum() != expected:
        raise RuntimeError(f"{expected - B.sum()} of {expected} additions were lost")


def numba_run(stack: ExitStack) -> Callable[..., float]:
    """Return the run of a loop over threads, each with a copy of the array, summed at the end."""
    import numba

    numba.set_num_threads(min(_WORKERS, numba.config.NUMBA_NUM_THREADS))

    @numba.njit(parallel=True)
    def add(B: Array, rows: Array, values: Array) -> None:
        copies = np.zeros((len(rows), len(B)), B.dtype)
        for part in numba.prange(len(rows)):
            mine, copy = rows[part], copies[part]
            for k in range(len(mine)):
                copy[mine[k]] += values[k]
        for i in numba.prange(len(B)):
            for part in range(len(rows)):
                B[i] += copies[part, i]

    kept: dict[_Case, tuple[Array, Array, Array]] = {}

    def run(count: int, *about: Any) -> float:
        case = _Case(*about)
        if case not in kept:
            kept.clear()
            rows = np.stack([case.rows_of(rank) for rank in range(_WORKERS)])
            kept[case] = np.zeros(case.length, case.dtype), rows, np.ones(case.updates, case.dtype)
            add(kept[case][0], rows[:, :1], kept[case][2])  # compiled now
        B, rows, values = kept[case]
        B[:] = 0
        began = time.perf_counter()
        for _ in range(count):
            add(B, rows, values)
        seconds = time.perf_counter() - began
        _check(B, count * case.updates * _WORKERS)
        return seconds / _WORKERS

    return run


def _show(curves: Curves, dtype: str, spread: str, updates: int) -> Iterator[Row]:
    """Yield a table of all ways, and a plot of those of whole numbers."""
    if not curves:
        return
    series = [Series.of(name, points, "pydsm" if name == _OURS else "peer") for name, points in curves.items()]
    ratios = [
        float(np.median(ours)) / float(np.median(theirs))
        for (_, ours), (_, theirs) in zip(curves[_OURS], curves[_ADD_AT], strict=True)
    ]
    figure = Figure(
        f"accumulate-{spread.lower()}",
        f"accumulate by {_WORKERS} workers on {spread} rows of {dtype}: "
        f"{min(ratios):.1f} to {max(ratios):.1f} times the rate of np.add.at",
        "rows of the array",
        "additions in a second",
        "rate",
        series,
    )
    if dtype == "int64":
        yield figure
    yield table_of(figure, f"{updates} additions a call to {spread} rows of {dtype}")
