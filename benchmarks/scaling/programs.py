"""What simulated workers do: rows as they may be wanted, always the same ones."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat

from benchmarks.scaling.layout import Job
from benchmarks.scaling.simulation import Act

__all__ = ["atomics", "barriers", "hot", "uniform", "zipf"]

_SEED = 1


def uniform(job: Job, count: int, think: float = 0.0) -> list[list[Act]]:
    """Let each worker update so many rows of all, each as likely as the other, and think a random time before each."""
    draw = random.Random(_SEED)
    rows = job.arrays[0].rows
    made: list[list[Act]] = []
    for _ in range(job.workers):
        updates = _updates(draw.randrange(rows) for _ in range(count))
        pauses = (Act("think", draw.expovariate(1 / think)) for _ in range(count)) if think else ()
        made.append([act for pair in zip(pauses, updates, strict=True) for act in pair] if think else list(updates))
    return made


def zipf(job: Job, count: int) -> list[list[Act]]:
    """Let each worker update so many rows, the n-th most wanted stripe with the weight 1 / n; those lie anywhere."""
    draw = random.Random(_SEED)
    array = job.arrays[0]
    order = list(range(array.all_stripes))
    draw.shuffle(order)
    weights = list(accumulate(1 / (place + 1) for place in range(len(order))))

    def row() -> int:
        return min(order[bisect(weights, draw.random() * weights[-1])] * array.block, array.rows - 1)

    return [list(_updates(row() for _ in range(count))) for _ in range(job.workers)]


def hot(job: Job, count: int) -> list[list[Act]]:
    """Let each worker update row 0 so many times."""
    return [list(_updates(repeat(0, count))) for _ in range(job.workers)]


def atomics(job: Job, count: int) -> list[list[Act]]:
    """Let each worker do so many atomic operations on any element."""
    draw = random.Random(_SEED)
    rows = job.arrays[0].rows
    return [[Act("atomic", draw.randrange(rows)) for _ in range(count)] for _ in range(job.workers)]


def barriers(job: Job, count: int) -> list[list[Act]]:
    """Let all workers meet so many times."""
    return [[Act("barrier")] * count for _ in range(job.workers)]


def _updates(rows: Iterable[int]) -> Iterator[Act]:
    return (Act("region", row) for row in rows)
