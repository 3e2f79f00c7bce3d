"""What a region of many rows costs: lists, masks, slices, the whole array."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from benchmarks.measure import Comparison, compare, statement
from benchmarks.settings import Settings
from pydsm import Team

__all__ = ["TITLE", "rows"]

TITLE = "Regions of many rows, alone"
_ROWS = 1_000_000
_LOCKS = 10


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield a line for each way to say which rows, with the same update under both kinds of lock."""
    random = np.random.default_rng(1)
    chosen = {count: random.choice(_ROWS, count, replace=False) for count in (_LOCKS, 1000, 100_000)}
    mask = np.zeros(_ROWS, bool)
    mask[chosen[1000]] = True
    with Team(1) as team:
        A = team.array("A", _ROWS, int)
        yield from _beside_one_each(A, chosen[_LOCKS].tolist(), settings)
        for count, some in chosen.items():
            yield from _beside_one(f"{count:,} rows, a list", A, some.tolist(), some, settings)
            yield from _beside_one(f"{count:,} rows, an array", A, some, some, settings)
        yield from _beside_one("1,000 rows, a mask of 1,000,000", A, mask, chosen[1000], settings)
        yield from _beside_one("1,000 rows, a slice", A, slice(5000, 6000), slice(5000, 6000), settings)
        yield from _beside_one("all 1,000,000 rows", A, None, slice(0, 1000), settings)


def _beside_one(what: str, A: np.ndarray, key: object, part: object, settings: Settings) -> list[Comparison]:
    """Update `part` of the rows, under a region and under one lock for everything."""
    names = {"A": A, "B": np.asarray(A), "key": key, "part": part, "lock": multiprocessing.Lock()}
    return compare(
        f"with A.locked(key): B[part] += 1; {what}",
        statement("with A.locked(key): B[part] += 1", **names),
        {"one multiprocessing.Lock for all rows": statement("with lock: B[part] += 1", **names)},
        rounds=settings.rounds,
        seconds=settings.seconds,
    )


def _beside_one_each(A: np.ndarray, key: list[int], settings: Settings) -> list[Comparison]:
    """Hold a few rows: one region, or one lock for each row, entered one after the other."""
    names = {"A": A, "key": key, "locks": [multiprocessing.Lock() for _ in key], "Stack": ExitStack}
    loops = "for lock in locks: lock.acquire()\nfor lock in reversed(locks): lock.release()"
    stack = "with Stack() as stack:\n    for lock in locks: stack.enter_context(lock)"
    return compare(
        f"with A.locked(key): pass; {len(key)} rows",
        statement("with A.locked(key): pass", **names),
        {
            f"{len(key)} multiprocessing.Locks, acquired and released in loops": statement(loops, **names),
            f"{len(key)} multiprocessing.Locks in an ExitStack": statement(stack, **names),
        },
        rounds=settings.rounds,
        seconds=settings.seconds,
    )
