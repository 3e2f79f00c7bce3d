"""Updates of random rows by several workers at once.

The array is large enough that two workers seldom want the same row.  Peers update a plain
ndarray over the same memory.  After every run the array must hold every update, except
under the loop without a lock, which shows what is left when nothing is paid for safety.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import fasteners
import numpy as np
import posix_ipc

from benchmarks.measure import Comparison, Target, interleave
from benchmarks.settings import WORKERS, Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["ROWS", "TITLE", "UPDATES", "region_loop", "rows", "run_of"]

TITLE = "Updates of random rows by several workers"
ROWS = 16_384
UPDATES = 2_000  # random rows in a worker's list, which it goes through again and again
_STRIPES = 1_024  # lock files: as many as the array has stripes
_UNSYNCHRONISED = "no lock (wrong)"

Loop = Callable[[Sequence[int], int], None]


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield pydsm beside the best peer, beside the wrong loop, and beside the other peers."""
    for size in WORKERS:
        settings.say(f"{size} workers")
        with ExitStack() as stack:
            team = stack.enter_context(Team(size))
            A = team.array("A", ROWS, int)
            loops: dict[str, Loop] = {"pydsm": partial(region_loop, A), **_peers(np.asarray(A), stack)}
            runs = {name: run_of(team, A, loop, is_safe=name != _UNSYNCHRONISED) for name, loop in loops.items()}
            seconds = interleave(runs, rounds=settings.team_rounds, seconds=settings.team_seconds)
        rates = {name: [size * UPDATES / each for each in samples] for name, samples in seconds.items()}
        yield from _lines(size, rates)


def run_of(team: Team, A: GlobalArray, loop: Loop, *, is_safe: bool = True) -> Callable[[int], float]:
    """Return a run that has every worker do the loop, and then counts the updates."""

    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        random = np.random.default_rng(worker.rank)
        return partial(loop, random.integers(ROWS, size=UPDATES).tolist(), count)

    def run(count: int) -> float:
        A[:] = 0
        seconds = timed(team, partial(prepare, count=count))
        if is_safe and A.sum() != team.size * UPDATES * count:
            raise RuntimeError(f"{team.size * UPDATES * count - A.sum()} updates were lost")
        return seconds

    return run


def region_loop(A: GlobalArray, indices: Sequence[int], count: int) -> None:
    """Update rows of an array in regions of its own."""
    for _ in range(count):
        for i in indices:
            with A.locked(i):
                A[i] += 1


def _lock_loop(B: np.ndarray[Any, Any], lock: AbstractContextManager[Any], indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            with lock:
                B[i] += 1


def _striped_loop(
    B: np.ndarray[Any, Any], locks: Sequence[AbstractContextManager[Any]], indices: Sequence[int], count: int
) -> None:
    for _ in range(count):
        for i in indices:
            with locks[i % _STRIPES]:
                B[i] += 1


def _bare_loop(B: np.ndarray[Any, Any], indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            B[i] += 1


def _peers(B: np.ndarray[Any, Any], stack: ExitStack) -> dict[str, Loop]:
    context = multiprocessing.get_context("fork")
    manager = stack.enter_context(context.Manager())
    semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX, initial_value=1)
    stack.callback(semaphore.close)
    semaphore.unlink()  # the workers inherit it
    # Lock files are fastest in memory, so that is where they are.
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    # As zarr's ProcessSynchronizer has them, but made once.
    files = [fasteners.InterProcessLock(os.path.join(folder, str(stripe))) for stripe in range(_STRIPES)]
    return {
        "multiprocessing.Lock": partial(_lock_loop, B, context.Lock()),
        "posix_ipc.Semaphore": partial(_lock_loop, B, semaphore),
        f"fasteners, {_STRIPES} files": partial(_striped_loop, B, files),
        "multiprocessing.Manager().Lock": partial(_lock_loop, B, manager.Lock()),
        _UNSYNCHRONISED: partial(_bare_loop, B),
    }


def _lines(size: int, rates: dict[str, list[float]]) -> Iterator[Comparison]:
    """Yield a line for each peer; only the best one and the wrong loop set a target."""
    ours = rates.pop("pydsm")
    medians = {name: float(np.median(samples)) for name, samples in rates.items() if name != _UNSYNCHRONISED}
    best = max(medians, key=medians.__getitem__)
    targets = {best: Target(3, at_least=True), _UNSYNCHRONISED: Target(0.5, at_least=True)}
    for name, samples in rates.items():
        label = f"{name} (best peer)" if name == best else name
        yield Comparison(
            f"with A.locked(i): A[i] += 1, {size} workers", label, "rate", ours, samples, targets.get(name)
        )
