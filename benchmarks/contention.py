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
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import posix_ipc

from benchmarks.attempts import Row, absent, attempt, has
from benchmarks.draws import zipf
from benchmarks.figure import Figure, Series
from benchmarks.measure import Comparison, Target, interleave
from benchmarks.settings import WORKERS, Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["ROWS", "TITLE", "UPDATES", "lock_loop", "region_loop", "rows", "run_of"]

TITLE = "Updates of random rows by several workers"
ROWS = 16_384
UPDATES = 2_000  # random rows in a worker's list, which it goes through again and again
_STRIPES = 1_024  # lock files: as many as the array has stripes
_UNSYNCHRONISED = "no lock (wrong)"

Loop = Callable[[Sequence[int], int], None]


@dataclass(frozen=True, slots=True)
class _InWorker:
    """A loop that each worker has to make for itself, because its locks do not survive a fork."""

    make: Callable[[], Loop]


def rows(settings: Settings) -> Iterator[Row]:
    """Yield pydsm beside the best peer, beside the wrong loop, and beside the other peers."""
    yield from absent("fasteners", "filelock", "UltraDict")
    kept: dict[str, dict[str, list[float]]] = {}
    for size in WORKERS:
        yield from attempt(f"{size} workers", settings, partial(_measure, size, kept, settings))
    if kept:
        yield _figure(kept)


def _measure(size: int, kept: dict[str, dict[str, list[float]]], settings: Settings) -> Iterator[Comparison]:
    with ExitStack() as stack:
        team = stack.enter_context(Team(size))
        A = team.array("A", ROWS, int)
        loops: dict[str, Loop | _InWorker] = {"pydsm": partial(region_loop, A), **_peers(np.asarray(A), stack)}
        runs = {name: run_of(team, A, loop, is_safe=name != _UNSYNCHRONISED) for name, loop in loops.items()}
        if has("UltraDict"):
            runs["UltraDict and its lock"] = _dict_run(team, stack)
        seconds = interleave(runs, rounds=settings.team_rounds, seconds=settings.team_seconds)
    rates = {name: [size * UPDATES / each for each in samples] for name, samples in seconds.items()}
    kept[f"{size} workers"] = dict(rates)
    yield from _lines(size, rates)


def run_of(
    team: Team, A: GlobalArray, loop: Loop | _InWorker, *, is_safe: bool = True, exponent: float = 0
) -> Callable[[int], float]:
    """Return a run that has every worker do the loop, and then counts the updates.

    `exponent` is that of the Zipf distribution of the rows; 0 is uniform.
    """
    drawn = [zipf(rank, ROWS, UPDATES, exponent).tolist() for rank in range(team.size)]

    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        own = loop.make() if isinstance(loop, _InWorker) else loop
        return partial(own, drawn[worker.rank], count)

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


def lock_loop(B: np.ndarray[Any, Any], lock: AbstractContextManager[Any], indices: Sequence[int], count: int) -> None:
    """Update rows of an ndarray under one lock."""
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


def _peers(B: np.ndarray[Any, Any], stack: ExitStack) -> dict[str, Loop | _InWorker]:
    context = multiprocessing.get_context("fork")
    manager = stack.enter_context(context.Manager())
    semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX, initial_value=1)
    stack.callback(semaphore.close)
    semaphore.unlink()  # the workers inherit it
    return {
        "multiprocessing.Lock": partial(lock_loop, B, context.Lock()),
        "posix_ipc.Semaphore": partial(lock_loop, B, semaphore),
        **_file_locks(B, stack),
        "multiprocessing.Manager().Lock": partial(lock_loop, B, manager.Lock()),
        _UNSYNCHRONISED: partial(_bare_loop, B),
    }


def _file_locks(B: np.ndarray[Any, Any], stack: ExitStack) -> dict[str, Loop | _InWorker]:
    """Return the loops over lock files, as zarr's ProcessSynchronizer has them, but made once."""
    # Lock files are fastest in memory, so that is where they are.
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    loops: dict[str, Loop | _InWorker] = {}
    if has("fasteners"):
        import fasteners

        locks = [fasteners.InterProcessLock(os.path.join(folder, str(stripe))) for stripe in range(_STRIPES)]
        loops[f"fasteners, {_STRIPES} files"] = partial(_striped_loop, B, locks)
    if has("filelock"):
        import filelock

        def make() -> Loop:
            names = (os.path.join(folder, f"f{stripe}") for stripe in range(_STRIPES))
            return partial(_striped_loop, B, [filelock.FileLock(name) for name in names])

        loops[f"filelock, {_STRIPES} files"] = _InWorker(make)
    return loops


def _dict_run(team: Team, stack: ExitStack) -> Callable[[int], float]:
    """Return the run in which workers update the values of a shared dict."""
    from UltraDict import UltraDict

    counts = UltraDict(dict.fromkeys(range(_STRIPES), 0), shared_lock=True, buffer_size=1 << 20)
    stack.callback(counts.unlink)

    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        mine = UltraDict(name=counts.name, shared_lock=True)
        return partial(_dict_loop, mine, zipf(worker.rank, _STRIPES, UPDATES, 0).tolist(), count)

    def run(count: int) -> float:
        before = sum(counts.values())
        seconds = timed(team, partial(prepare, count=count))
        lost = team.size * UPDATES * count - (sum(counts.values()) - before)
        if lost:
            raise RuntimeError(f"{lost} updates were lost")
        return seconds

    return run


def _dict_loop(counts: Any, indices: Sequence[int], count: int) -> None:
    for _ in range(count):
        for i in indices:
            with counts.lock:
                counts[i] += 1


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


def _figure(kept: dict[str, dict[str, list[float]]]) -> Figure:
    """Return one plot: a row for each number of workers."""
    samples: dict[str, list[tuple[float, list[float]]]] = {}
    for place, rates in enumerate(kept.values()):
        for name, each in rates.items():
            samples.setdefault(name, []).append((place, each))
    roles = {"pydsm": "pydsm", _UNSYNCHRONISED: "limit"}
    gains = [
        float(np.median(rates["pydsm"]))
        / max(float(np.median(each)) for name, each in rates.items() if name not in roles)
        for rates in kept.values()
    ]
    return Figure(
        "contention",
        f"Locked updates of random rows: {min(gains):.1f} to {max(gains):.1f} times the best peer's rate",
        "workers",
        "updates in a second, all workers together",
        "rate",
        [Series.of(name, points, roles.get(name, "peer")) for name, points in samples.items()],
        "rows",
        list(kept),
    )
