"""What a region costs when nobody else wants it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Comparison, Target, compare, statement
from benchmarks.settings import Settings
from pydsm import Team

__all__ = ["TITLE", "rows"]

TITLE = "Locks, alone"


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield an empty region, and one with an update in it."""
    with Team(1) as team:
        A = team.array("A", 1000, int)
        names = {"A": A, "B": np.asarray(A), "lock": multiprocessing.Lock(), "i": 500}
        yield from compare(
            "with A.locked(i): pass",
            statement("with A.locked(i): pass", **names),
            {"multiprocessing.Lock": statement("with lock: pass", **names)},
            target=Target(0.6),
            rounds=settings.rounds,
            seconds=settings.seconds,
        )
        # The peer updates a plain ndarray over the same memory: what its user would have.
        yield from compare(
            "with A.locked(i): A[i] += 1",
            statement("with A.locked(i): A[i] += 1", **names),
            {"multiprocessing.Lock": statement("with lock: B[i] += 1", **names)},
            target=Target(0.8),
            rounds=settings.rounds,
            seconds=settings.seconds,
        )
