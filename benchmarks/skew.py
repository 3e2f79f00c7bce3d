"""Updates of rows that are wanted unequally, and the share of the time that workers wait for one another.

The rows follow Zipf distributions: at exponent 0 all are wanted alike, at 2 every second
update wants the same row.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.attempts import Row, attempt
from benchmarks.contention import ROWS, UPDATES, lock_loop, region_loop, run_of
from benchmarks.figure import Figure, Series, table_of
from benchmarks.measure import Run, Table, interleave, spread
from benchmarks.settings import WORKERS, Settings
from pydsm import GlobalArray, Team

__all__ = ["TITLE", "rows"]

TITLE = "Rows wanted unequally"
_EXPONENTS = (0, 0.8, 1.2, 2)
_OURS, _LOCK = "with A.locked(i)", "one multiprocessing.Lock"

Samples = dict[str, list[tuple[float, list[float]]]]


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a plot and a table of the rates, and a table of the waits."""
    rates: Samples = {}
    waits: dict[int, list[list[float]]] = {}
    for size in WORKERS:
        for exponent in _EXPONENTS:
            what = f"exponent {exponent}, {size} workers"
            yield from attempt(what, settings, partial(_measure, exponent, size, rates, waits, settings))
    if rates:
        yield from _show(rates, waits)


def _measure(
    exponent: float, size: int, rates: Samples, waits: dict[int, list[list[float]]], settings: Settings
) -> Iterator[Row]:
    shares: list[float] = []
    with Team(size) as team:
        A = team.array("A", ROWS, int)
        lock = multiprocessing.get_context("fork").Lock()
        ours = run_of(team, A, partial(region_loop, A), exponent=exponent)
        theirs = run_of(team, A, partial(lock_loop, np.asarray(A), lock), exponent=exponent)
        runs: dict[str, Run] = {_OURS: _watched(ours, A, size, shares), _LOCK: theirs}
        rounds = settings.curve_rounds
        samples = interleave(runs, rounds=rounds, seconds=settings.team_seconds)
    for name, each in samples.items():
        points = rates.setdefault(f"{name}, {size} workers", [])
        points.append((exponent, [size * UPDATES / seconds for seconds in each]))
    waits.setdefault(size, []).append(shares[-rounds:])
    return iter(())


def _watched(run: Run, A: GlobalArray, size: int, shares: list[float]) -> Callable[[int], float]:
    """Return the run, which notes the share of its workers' time that went into waiting for locks."""

    def watched(count: int) -> float:
        before = A.statistics().waited_seconds
        seconds = run(count)
        shares.append((A.statistics().waited_seconds - before) / (size * seconds))
        return seconds

    return watched


def _show(rates: Samples, waits: dict[int, list[list[float]]]) -> Iterator[Row]:
    medians = {name: [float(np.median(each)) for _, each in points] for name, points in rates.items()}
    gains = [
        ours / theirs
        for size in waits
        for ours, theirs in zip(medians[f"{_OURS}, {size} workers"], medians[f"{_LOCK}, {size} workers"], strict=True)
    ]
    figure = Figure(
        "skew",
        f"Locks on rows do {max(gains):.1f} times the updates of one lock at best, {min(gains):.1f} times at worst",
        "exponent of the Zipf distribution (0: all rows alike)",
        "updates in a second, all workers together",
        "rate",
        [Series.of(name, points, "pydsm" if name.startswith(_OURS) else "peer") for name, points in rates.items()],
        is_log=False,
    )
    yield figure
    yield table_of(figure, f"Updates of {ROWS} rows")
    yield Table(
        "Share of the workers' time that they waited for locks (A.statistics().waited_seconds)",
        [("exponent", None), *[(f"{size} workers", "share") for size in waits]],
        [
            [f"{exponent:g}", *[spread(column[place]) for column in waits.values()]]
            for place, exponent in enumerate(_EXPONENTS)
        ],
    )
