"""Applications over MPI on 1 to 4 workers, beside plain mpi4py: heat in a plate, and k-means.

Two workers and more are on two hosts.  One worker is on one host, with the memory of one machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.attempts import Note, Row, attempt
from benchmarks.measure import Comparison, Run, Table, interleave, spread
from benchmarks.rankjobs import Pair, place
from benchmarks.ranks import missing
from benchmarks.remote import Remote
from benchmarks.settings import Settings

__all__ = ["TITLE", "rows"]

TITLE = "Over MPI: applications, 1 to 4 workers on two hosts"
_HOSTS = ((1, 0), (1, 1), (2, 1), (2, 2))
"""Workers of each host."""
_SWEEPS, _PLATE, _QUICK_PLATE = 30, 1200, 300
_ROUNDS, _POINTS, _QUICK_POINTS = 10, 300_000, 20_000
_SHARED, _EDGES, _SUMS = "pydsm, the plate shared", "pydsm, edges shared", "pydsm, accumulate"
_SENDRECV, _ALLREDUCE = "mpi4py: Sendrecv", "mpi4py: Allreduce"
_PARTS = {"Jacobi": (_SHARED, _EDGES, _SENDRECV), "k-means": (_SUMS, _ALLREDUCE)}

Samples = dict[str, dict[int, list[float]]]
"""For each way the seconds with so many workers."""


def rows(settings: Settings) -> Iterator[Row]:
    """Yield each application beside its peer for each number of workers, then tables."""
    if why_not := missing():
        yield Note(why_not)
        return
    samples: Samples = {}
    with place() as here:
        if here.note:
            yield Note(here.note)
        for first, second in _HOSTS:
            with ExitStack() as stack:
                settings.say(f"starting jobs of {_workers(first + second)} ...")
                pair = stack.enter_context(Pair(here, first, second))
                for name in _PARTS:
                    what = f"{name}, {_workers(first + second)}"
                    measure = partial(_measure, name, pair, first + second, samples, settings)
                    yield from attempt(what, settings, measure)
    for name, ways in _PARTS.items():
        if all(way in samples for way in ways):
            yield _table(name, {way: samples[way] for way in ways})


def _measure(name: str, pair: Pair, workers: int, samples: Samples, settings: Settings) -> Iterator[Row]:
    ways = {**_plates(pair, settings.quick), **_clusters(pair, settings.quick)}
    runs = {way: ways[way] for way in _PARTS[name]}
    for run in runs.values():
        run(1)  # every rank has its inputs, and the result is right
    taken = interleave(runs, rounds=settings.curve_rounds, seconds=0)
    for way, seconds in taken.items():
        samples.setdefault(way, {})[workers] = seconds
    *ours, peer = _PARTS[name]
    for way in ours:
        what = f"{name}, {_workers(workers)} ({way.removeprefix('pydsm, ')})"
        yield Comparison(what, peer, "time", taken[way], taken[peer])


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def _plates(pair: Pair, quick: bool) -> dict[str, Run]:
    order = _SWEEPS, "plate", _QUICK_PLATE if quick else _PLATE
    return {
        _SHARED: _once(pair.pydsm, *order, "plate"),
        _EDGES: _once(pair.pydsm, *order, "edges"),
        _SENDRECV: _once(pair.raw, *order, ""),
    }


def _clusters(pair: Pair, quick: bool) -> dict[str, Run]:
    order = _ROUNDS, "clusters", _QUICK_POINTS if quick else _POINTS
    return {_SUMS: _once(pair.pydsm, *order), _ALLREDUCE: _once(pair.raw, *order)}


def _once(remote: Remote, *order: Any) -> Run:
    """Return a run that is one whole application, whose steps are the repetitions of the job's run."""
    return lambda count: remote(*order)


def _table(name: str, samples: Samples) -> Table:
    columns = [("workers", None), *[(way, "time") for way in samples]]
    counts = sorted(next(iter(samples.values())))
    lines = [[str(count), *[spread(taken[count]) for taken in samples.values()]] for count in counts]
    return Table(f"{name}: {_about(name)}", columns, lines)  # type: ignore[arg-type]


def _about(name: str) -> str:
    if name == "Jacobi":
        return f"{_SWEEPS} sweeps over a plate of {_PLATE} x {_PLATE}"
    return f"{_ROUNDS} rounds over {_POINTS} points"
