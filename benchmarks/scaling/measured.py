"""The same work by 1, 2, 4 and 8 workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np

from benchmarks.applications import crew
from benchmarks.attempts import Note, Row, attempt
from benchmarks.contention import ROWS, region_loop, run_of
from benchmarks.draws import zipf
from benchmarks.figure import Figure, Series, table_of
from benchmarks.measure import Run, interleave, spread
from benchmarks.programs.problems import ALL
from benchmarks.settings import Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["rows"]

_SIZES = (1, 2, 4, 8)
_APPLICATION = ALL["k-means"]
_ADDITIONS = 300_000

Work = Callable[[Team, Settings], Run]


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a plot and a table of rates, divided by that of one worker."""
    cpus = len(os.sched_getaffinity(0))
    yield Note(f"the machine has {cpus} cpus to run on: more workers than that share them")
    gains: dict[str, list[tuple[float, list[float]]]] = {}
    works: dict[str, Work] = {
        "locked updates of random rows": _locked,
        "fetch_add on random rows": _added,
        "accumulate on random rows": _accumulated,
    }
    for name, work in works.items():
        yield from attempt(name, settings, partial(_measure, name, work, gains, settings))
    yield from attempt(_APPLICATION.name, settings, partial(_measure_application, gains, settings))
    if gains:
        yield from _show(gains, cpus)


def _measure(
    name: str, work: Work, gains: dict[str, list[tuple[float, list[float]]]], settings: Settings
) -> Iterator[Row]:
    with ExitStack() as stack:
        runs = {str(size): work(stack.enter_context(Team(size)), settings) for size in _SIZES}
        samples = interleave(runs, rounds=settings.curve_rounds, seconds=settings.curve_seconds)
    alone = samples["1"]
    # One repetition is the same work for each worker, so n workers do n times as much in it.
    gains[name] = [
        (size, [size * one / each for one, each in zip(alone, samples[str(size)], strict=True)]) for size in _SIZES
    ]
    return iter(())


def _measure_application(gains: dict[str, list[tuple[float, list[float]]]], settings: Settings) -> Iterator[Row]:
    length = _APPLICATION.quick_size if settings.quick else _APPLICATION.size
    with ExitStack() as stack:
        crews = {size: stack.enter_context(crew("crews", "pydsm_crew")) for size in _SIZES}
        runs = {str(size): each.bound(_APPLICATION.name, length, size) for size, each in crews.items()}
        samples = interleave(runs, rounds=settings.curve_rounds, seconds=0)
    alone = samples["1"]
    gains[f"{_APPLICATION.name}, a whole run"] = [
        (size, [one / each for one, each in zip(alone, samples[str(size)], strict=True)]) for size in _SIZES
    ]
    return iter(())


def _locked(team: Team, settings: Settings) -> Run:
    A = team.array("A", ROWS, int)
    return run_of(team, A, partial(region_loop, A))


def _added(team: Team, settings: Settings) -> Run:
    A = team.array("A", ROWS, int)
    return run_of(team, A, partial(_add_loop, A))


def _add_loop(A: GlobalArray, indices: list[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            A.fetch_add(i, 1)


def _accumulated(team: Team, settings: Settings) -> Run:
    A = team.array("A", ROWS, int)
    values = np.ones(_ADDITIONS, int)
    rows = [zipf(rank, ROWS, _ADDITIONS, 0) for rank in range(team.size)]

    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        return partial(_accumulate_loop, A, rows[worker.rank], values, count)

    return lambda count: timed(team, partial(prepare, count=count))


def _accumulate_loop(A: GlobalArray, rows: np.ndarray, values: np.ndarray, count: int) -> None:
    for _ in range(count):
        A.accumulate(rows, values)


def _show(gains: dict[str, list[tuple[float, list[float]]]], cpus: int) -> Iterator[Row]:
    ideal = Series("ideal: a cpu for each worker", _SIZES, [spread([min(size, cpus)]) for size in _SIZES], "limit")
    series = [Series.of(name, points) for name, points in gains.items()]
    at = min(cpus, _SIZES[-1])
    reached = [y.median for each in series for x, y in zip(each.x, each.y, strict=True) if x == at]
    figure = Figure(
        "scaling",
        f"{at} workers on {cpus} cpus do {min(reached):.1f} to {max(reached):.1f} times the work of one"
        if reached
        else f"More workers on {cpus} cpus",
        f"workers, on {cpus} cpus",
        "times the rate of one worker",
        "ratio",
        [*series, ideal],
    )
    yield figure
    yield table_of(figure, "Work done in a second, divided by that of one worker")
