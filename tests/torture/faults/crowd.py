"""Many more workers than cpus, all at the same locks, fences and barriers."""

from __future__ import annotations

import random
import time

import numpy as np

import pydsm
from tests.torture.figures import Figures
from tests.torture.processes import names_with
from tests.torture.settings import Settings

__all__ = ["crowd"]

_ROWS = 5


def crowd(settings: Settings) -> Figures:
    """Let `count` workers add for `seconds`; every sum is exact.  Recovery is each one's longest wait."""
    figures = Figures("crowd", injected=settings.count)
    began = time.monotonic()
    with pydsm.Team(settings.count, seed=settings.seed) as team:
        namespace = team.namespace
        A = team.array("A", (_ROWS, 2), np.int64)
        team.array("mine", team.size, np.int64)
        C = team.array("C", 1, np.int64)
        team.array("stop", 1, np.int64)
        team.lock("L")
        try:
            results = team.run(_program, settings.seconds)
        except pydsm.WorkerError as error:
            figures.problems.append(str(error))
            results = []
        counts = np.sum([result[0] for result in results], axis=0) if results else np.zeros(_ROWS + 1, np.int64)
        found = [*A[:, 0].tolist(), int(C[0])]
        for expected, value in zip(counts.tolist(), found, strict=True):
            figures.lost += max(0, expected - value)
            figures.invented += max(0, value - expected)
        figures.torn = int((A[:, 1] != -A[:, 0]).sum())
        figures.operations = int(counts.sum())
        figures.violations = sum(result[1] for result in results)
        figures.recovery = [result[2] * 1e3 for result in results]
        figures.note("barriers", sum(result[3] for result in results[:1]))
        figures.hangs = sum(wait > settings.patience * 1e3 for wait in figures.recovery)
    figures.names_left = len(names_with(namespace))
    settings.on_progress(settings.count)
    figures.seconds = time.monotonic() - began
    return figures


def _program(worker: pydsm.Worker, seconds: float) -> tuple[list[int], int, float, int]:
    A, C, mine, stop = worker["A"], worker["C"], worker["mine"], worker["stop"]
    dice, counts, stale, longest, rounds = random.Random(worker.rank), [0] * (_ROWS + 1), 0, 0.0, 0
    end = time.monotonic() + seconds
    while True:
        rounds += 1
        for _ in range(4):
            row, start = dice.randrange(_ROWS), time.monotonic()
            with A.locked(row, undo=dice.random() < 0.3) as view:
                longest = max(longest, time.monotonic() - start)
                view[0] += 1
                view[1] -= 1
            counts[row] += 1
        start = time.monotonic()
        with worker["L"]:
            longest = max(longest, time.monotonic() - start)
            C[0] += 1
        counts[-1] += 1
        mine[worker.rank] = rounds
        mine.fence()
        if worker.rank == 0 and time.monotonic() > end:
            stop[0] = 1
        start = time.monotonic()
        worker.barrier()
        is_over = bool(stop[0])
        stale += int((mine != rounds).any())  # what everybody wrote before the barrier is seen after it
        worker.barrier()
        longest = max(longest, (time.monotonic() - start) / 2)
        if is_over:
            return counts, stale, longest, 2 * rounds
