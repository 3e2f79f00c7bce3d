"""A barrier, met over and over."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Barrier

from benchmarks.measure import Comparison, Run, Target, compare
from benchmarks.settings import WORKERS, Settings
from benchmarks.workers import timed
from pydsm import Team, Worker

__all__ = ["TITLE", "rows"]

TITLE = "Barriers"


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield the barrier of a team beside multiprocessing's."""
    for size in WORKERS:
        settings.say(f"{size} workers")
        theirs = multiprocessing.get_context("fork").Barrier(size)
        with Team(size) as team:
            yield from compare(
                f"worker.barrier(), {size} workers",
                _run(team, lambda worker: worker.barrier),
                {"multiprocessing.Barrier": _run(team, partial(_wait_of, theirs))},
                rounds=settings.team_rounds,
                seconds=settings.team_seconds,
                target=Target(0.3),
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
