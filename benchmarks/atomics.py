"""Adding one to one element, atomically.

Random elements have a lock each under multiprocessing (a `Value` each), which is the best
that it can do.  The hot element is one for all workers: what is left is one cache line that
goes back and forth.  After every run the elements must hold every update.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.attempts import Row, absent, attempt, has
from benchmarks.figure import Figure, Series
from benchmarks.measure import Comparison, Target, compare, interleave, statement
from benchmarks.settings import WORKERS, Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["TITLE", "rows"]

TITLE = "Atomic additions"
_ELEMENTS = 1_000
_UPDATES = 2_000
_OURS = "A.fetch_add(i, 1)"
_VALUE = "multiprocessing.Value"
_REGION = "with A.locked(i): A[i] += 1"
_TARGET = Target(0.15)

Peers = dict[str, tuple[Callable[[Any, Sequence[int], int], None], Any]]


def rows(settings: Settings) -> Iterator[Row]:
    """Yield one thread alone, then workers on random elements and on one."""
    yield from absent("atomics")
    yield from attempt("alone", settings, partial(_alone, settings))
    kept: dict[str, list[Comparison]] = {}
    for where in ("random elements", "one hot element"):
        for size in WORKERS:
            what = f"{where}, {size} workers"
            for row in attempt(what, settings, partial(_together, where, size, settings)):
                if isinstance(row, Comparison):
                    kept.setdefault(what, []).append(row)
                yield row
    yield from _figure(kept)


def _alone(settings: Settings) -> Iterator[Comparison]:
    with ExitStack() as stack:
        A = stack.enter_context(Team(1)).array("A", _ELEMENTS, int)
        value = multiprocessing.get_context("fork").Value("q", 0)
        names = {"A": A, "B": np.asarray(A), "i": 500, "value": value}
        names |= {"lock": value.get_lock(), "raw": value.get_obj()}
        peers = {
            _VALUE: statement("with value.get_lock(): value.value += 1", **names),
            "the same, its lock and its ctypes object kept": statement("with lock: raw.value += 1", **names),
            _REGION: statement(_REGION, **names),
            "B[i] += 1 on an ndarray (not atomic)": statement("B[i] += 1", **names),
        }
        if has("atomics"):
            peers["atomics, one view kept"] = statement("a.fetch_add(1)", a=_views(np.asarray(A)[:1], stack)[0])
        lines = compare(
            f"{_OURS}, alone", statement(_OURS, **names), peers, rounds=settings.rounds, seconds=settings.seconds
        )
    for line in lines:
        yield _aimed(line)


def _together(where: str, size: int, settings: Settings) -> Iterator[Comparison]:
    elements = _ELEMENTS if where == "random elements" else 1
    with ExitStack() as stack:
        team = stack.enter_context(Team(size))
        A = team.array("A", elements, int)
        peers = _peers(A, stack)
        runs = {name: _run(team, loop, target, elements) for name, (loop, target) in peers.items()}
        samples = interleave(runs, rounds=settings.team_rounds, seconds=settings.team_seconds)
    each = {name: [seconds / (size * _UPDATES) for seconds in column] for name, column in samples.items()}
    ours = each.pop(_OURS)
    for name, theirs in each.items():
        yield _aimed(Comparison(f"{_OURS}, {where}, {size} workers", name, "time", ours, theirs))


def _aimed(line: Comparison) -> Comparison:
    target = _TARGET if line.beside == _VALUE else None
    return Comparison(line.what, line.beside, line.cost, line.ours, line.theirs, target)


def _peers(A: GlobalArray, stack: ExitStack) -> Peers:
    context = multiprocessing.get_context("fork")
    B = np.asarray(A)
    peers: Peers = {
        _OURS: (_add, A),
        _VALUE: (_add_to_values, [context.Value("q", 0) for _ in range(len(A))]),
        _REGION: (_add_in_regions, A),
    }
    if has("atomics"):
        peers["atomics, a view for each element"] = (_add_to_views, _views(B, stack))
    return peers


def _views(B: np.ndarray[Any, Any], stack: ExitStack) -> list[Any]:
    """Return an atomic view of each element."""
    import atomics

    views = []
    for i in range(len(B)):
        view = atomics.atomicview(buffer=memoryview(B[i : i + 1]).cast("B"), atype=atomics.INT)
        views.append(stack.enter_context(view))
    return views


def _run(team: Team, loop: Callable[[Any, Sequence[int], int], None], target: Any, elements: int) -> Any:
    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        random = np.random.default_rng(worker.rank)
        return partial(loop, target, random.integers(elements, size=_UPDATES).tolist(), count)

    def run(count: int) -> float:
        before = _total(target)
        seconds = timed(team, partial(prepare, count=count))
        lost = team.size * _UPDATES * count - (_total(target) - before)
        if lost:
            raise RuntimeError(f"{lost} updates were lost")
        return seconds

    return run


def _total(target: Any) -> int:
    if isinstance(target, np.ndarray):
        return int(target.sum())
    return sum(each.load() if hasattr(each, "load") else each.value for each in target)


def _add(A: GlobalArray, indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            A.fetch_add(i, 1)


def _add_in_regions(A: GlobalArray, indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            with A.locked(i):
                A[i] += 1


def _add_to_values(values: Sequence[Any], indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            value = values[i]
            with value.get_lock():
                value.value += 1


def _add_to_views(views: Sequence[Any], indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            views[i].fetch_add(1)


def _figure(kept: dict[str, list[Comparison]]) -> Iterator[Figure]:
    """Yield one plot: a row for each number of workers and kind of element."""
    if not kept:
        return
    samples: dict[str, list[tuple[float, list[float]]]] = {}
    for place, lines in enumerate(kept.values()):
        samples.setdefault(_OURS, []).append((place, list(lines[0].ours)))
        for line in lines:
            samples.setdefault(line.beside, []).append((place, list(line.theirs)))
    series = [Series.of(name, points, "pydsm" if name == _OURS else "peer") for name, points in samples.items()]
    hot = [line.ratio.median for lines in kept.values() for line in lines if line.beside == _VALUE]
    yield Figure(
        "atomics",
        f"Adding 1 with fetch_add takes {min(hot):.2f} to {max(hot):.2f} of the time of multiprocessing.Value",
        "elements",
        "time for one addition, all workers together",
        "time",
        series,
        "rows",
        list(kept),
    )
