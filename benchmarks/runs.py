"""Start and join of a run whose function does nothing."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.measure import Comparison, Run, Target, compare
from benchmarks.settings import WORKERS, Settings
from pydsm import Team

__all__ = ["TITLE", "rows"]

TITLE = "Start and join"


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield a run of a team beside as many bare forks."""
    for size in WORKERS:
        with Team(size) as team:
            yield from compare(
                f"team.run(trivial), {size} workers",
                _repeated(partial(team.run, _trivial)),
                {"os.fork + os.waitpid": _repeated(partial(_fork, size))},
                rounds=settings.rounds,
                seconds=settings.seconds,
                target=Target(1.3),
            )


def _trivial(worker: object) -> None:
    return None


def _fork(size: int) -> None:
    pids = []
    for _ in range(size):
        pid = os.fork()
        if pid == 0:
            _trivial(None)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def _repeated(call: Callable[[], object]) -> Run:
    def run(count: int) -> float:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads at a fork; those of BLAS reset themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            began = time.perf_counter()
            for _ in range(count):
                call()
            return time.perf_counter() - began

    return run
