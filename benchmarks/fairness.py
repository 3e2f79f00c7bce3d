"""One row that everybody wants, all the time: who gets it how often, and how long they wait.

Each worker takes and leaves the row for a fixed time and notes how long it took from asking to
having.  Once the body is an update, shorter than a wake-up, and once it is some microseconds
of work, so that nearly every enter finds the row held.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import posix_ipc

from benchmarks.attempts import Row
from benchmarks.measure import Spread, Table, spread
from benchmarks.settings import WORKERS, Settings
from pydsm import Team, Worker
from pydsm.ipc.cpus import available_cpus

__all__ = ["TITLE", "rows"]

TITLE = "Fairness on one row"
_WORK_NS = 5_000

Lock = Callable[[], AbstractContextManager[Any]]
"""Returns what is entered; called each time."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What all workers saw in one run."""

    rate: float
    evenness: float
    """The least count of a worker divided by the largest."""
    median: float
    late: float
    longest: float


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a table for each number of workers and each body."""
    for size in WORKERS:
        for work, body in ((0, "an update"), (_WORK_NS, f"{_WORK_NS // 1000} us of work")):
            settings.say(f"{size} workers, {body}")
            with Team(size) as team:
                turns = _measure(team, work, settings)
            yield Table(
                f"{size} workers on {available_cpus()} cpus want one row; inside: {body}",
                [
                    ("lock", None),
                    ("taken, all together", "rate"),
                    ("least / largest share", None),
                    ("wait, median", "time"),
                    ("wait, 99 of 100", "time"),
                    ("wait, longest", "time"),
                    ("longest / median", None),
                ],
                [[name, *_cells(found)] for name, found in turns.items()],
            )


def _measure(team: Team, work: int, settings: Settings) -> dict[str, list[_Turn]]:
    A = team.array("A", 1, int)
    seconds, rounds = (0.2, 1) if settings.quick else (1.0, 5)
    found: dict[str, list[_Turn]] = {}
    locks = {"with A.locked(0)": partial(A.locked, 0), **_peers()}
    for turn in range(rounds):
        for name in list(locks)[:: -1 if turn % 2 else 1]:
            A[0] = 0
            waits = team.run(_take_in_turns, locks[name], seconds, work)
            if A[0] != sum(map(len, waits)):
                raise RuntimeError(f"{name}: {sum(map(len, waits)) - A[0]} updates were lost")
            found.setdefault(name, []).append(_summary(waits, seconds))
    return {name: found[name] for name in locks}


def _peers() -> Mapping[str, Lock]:
    lock = multiprocessing.get_context("fork").Lock()
    semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX, initial_value=1)
    semaphore.unlink()  # the workers inherit it
    return {"multiprocessing.Lock": lambda: lock, "posix_ipc.Semaphore": lambda: semaphore}


def _take_in_turns(worker: Worker, lock: Lock, seconds: float, work: int) -> np.ndarray[Any, Any]:
    """Return how long each wait was, in ns."""
    B, now = np.asarray(worker["A"]), time.perf_counter_ns
    waits: list[int] = []
    note = waits.append
    worker.barrier()
    end = now() + round(seconds * 1e9)
    asked = now()
    while asked < end:
        with lock():
            had = now()
            B[0] += 1
            while now() < had + work:
                pass
        note(had - asked)
        asked = now()
    return np.array(waits, np.int64)


def _summary(waits: list[np.ndarray[Any, Any]], seconds: float) -> _Turn:
    counts, together = [len(each) for each in waits], np.concatenate(waits) / 1e9
    median, late = np.quantile(together, (0.5, 0.99)).tolist()
    return _Turn(sum(counts) / seconds, min(counts) / max(counts), median, late, float(together.max()))


def _cells(turns: list[_Turn]) -> list[str | Spread]:
    columns = [[getattr(turn, name) for turn in turns] for name in ("rate", "median", "late", "longest")]
    rate, *waits = map(spread, columns)
    evenness = statistics.median(turn.evenness for turn in turns)
    stretch = statistics.median(turn.longest / turn.median for turn in turns)
    return [rate, f"{evenness:.2f}", *waits, f"{stretch:,.0f}"]
