"""A barrier, met over and over, beside multiprocessing's and beside what the kernel can do.

The limit is a barrier in C on a bare futex, between processes that nothing ever happens to
(`futex.c`): as plain as it can be and, where every worker has a cpu, spinning first as pydsm
does.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from multiprocessing.synchronize import Barrier

from benchmarks.attempts import Note, Row
from benchmarks.futex import WITHOUT, Futex
from benchmarks.measure import Comparison, Run, Table, Target, compare, interleave, spread
from benchmarks.settings import Settings
from benchmarks.workers import timed
from pydsm import Team, Worker
from pydsm.ipc.cpus import available_cpus

__all__ = ["TITLE", "rows"]

TITLE = "Barriers"
_SIZES = (2, 4, 8)
_TARGETS = {"multiprocessing.Barrier": Target(0.3)}  # the futex in C sets none: near it is good


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the barrier of a team beside its peers, and what a wake-up costs on this machine."""
    with ExitStack() as stack:
        futex = stack.enter_context(Futex.compiled())
        for size in _SIZES:
            settings.say(f"{size} workers")
            with Team(size) as team:
                peers = {"multiprocessing.Barrier": _theirs(team), **_limits(futex, size)}
                for row in compare(
                    f"worker.barrier(), {size} workers on {available_cpus()} cpus",
                    _run(team, lambda worker: worker.barrier),
                    peers,
                    rounds=settings.team_rounds,
                    seconds=settings.team_seconds,
                ):
                    yield Comparison(row.what, row.beside, row.cost, row.ours, row.theirs, _TARGETS.get(row.beside))
        if futex is None:
            yield Note(WITHOUT)
        else:
            yield _pingpong(futex, settings)


def _theirs(team: Team) -> Run:
    barrier = multiprocessing.get_context("fork").Barrier(team.size)
    return _run(team, partial(_wait_of, barrier))


def _limits(futex: Futex | None, size: int) -> Mapping[str, Run]:
    if futex is None:
        return {}
    plain = {"futex in C": futex.barrier(size)}
    return (
        plain if size > available_cpus() else {**plain, "futex in C, spinning first": futex.barrier(size, spins=1000)}
    )


def _pingpong(futex: Futex, settings: Settings) -> Table:
    samples = interleave({"futex": futex.pingpong()}, rounds=settings.team_rounds, seconds=settings.team_seconds)
    return Table(
        "What waking costs here: two processes in turns on a futex, in C",
        [("what", None), ("there and back", "time")],
        [["FUTEX_WAIT and FUTEX_WAKE, nobody spins", spread(samples["futex"])]],
    )


def _wait_of(barrier: Barrier, worker: Worker) -> Callable[[], object]:
    return barrier.wait


def _run(team: Team, method_of: Callable[[Worker], Callable[[], object]]) -> Run:
    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        return partial(_meet, method_of(worker), count)

    return lambda count: timed(team, partial(prepare, count=count))


def _meet(wait: Callable[[], object], count: int) -> None:
    for _ in range(count):
        wait()
