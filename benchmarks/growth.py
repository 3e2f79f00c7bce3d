"""What things cost as the arrays grow, beside plain NumPy.

Small arrays show what a call costs by itself, large ones what the memory gives; the plots
show where the one turns into the other, and that nothing grows faster than the work.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import SharedArray

import pydsm
from benchmarks.attempts import Note, Row, attempt
from benchmarks.draws import zipf
from benchmarks.figure import Figure, Series, table_of
from benchmarks.measure import Run, Table, interleave, spread
from benchmarks.settings import Settings
from benchmarks.workers import timed
from pydsm import GlobalArray, Team, Worker

__all__ = ["TITLE", "rows"]

TITLE = "As the work grows"
_WORKERS = 2
_LENGTHS = tuple(10**exponent for exponent in range(3, 9))
_ROWS = 16_384
_ELEMENT = 8
_ROOM = 6  # as much shared memory as the largest step needs, in arrays, and some

Array = np.ndarray[Any, Any]
Points = dict[str, list[tuple[float, list[float]]]]
Make = Callable[[int], Iterator[dict[str, Run]]]
"""Yields once the runs for a length, and cleans up behind them."""


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a plot and a table for each operation."""
    lengths = [n for n in _LENGTHS if n <= (10**6 if settings.quick else 10**8)]
    fitting = [n for n in lengths if n * _ELEMENT * _ROOM <= shutil.disk_usage("/dev/shm").free]
    if fitting != lengths:
        yield Note(f"skipped: lengths from {lengths[len(fitting)]} on, which do not fit into shared memory")
    kinds: dict[str, tuple[str, Make]] = {
        "create": ("create, touch, attach and unlink", _creations),
        "sum": ("sum under a shared lock", _sums),
        "vectors": ("add two vectors", _additions),
        "updates": (f"accumulate into {_ROWS} rows", _updates),
    }
    for name, (what, make) in kinds.items():
        yield from attempt(what, settings, partial(_curves, name, what, make, fitting, settings))
    yield from attempt("copy, for the bandwidth", settings, partial(_bandwidth, fitting[-1], settings))


def _curves(name: str, what: str, make: Make, lengths: list[int], settings: Settings) -> Iterator[Row]:
    points: Points = {}
    for length in lengths:
        if settings.is_over:
            yield Note(f"skipped: {what} of {length} elements and more, because the time of the group is used up")
            break
        for runs in make(length):
            rounds = 3 if length >= 10**7 else settings.curve_rounds
            for each, samples in interleave(runs, rounds=rounds, seconds=settings.curve_seconds / 4).items():
                points.setdefault(each, []).append((length, samples))
    yield from _show(name, what, points)


def _creations(length: int) -> Iterator[dict[str, Run]]:
    name = f"growth-{os.getpid()}"

    def ours() -> None:
        A = pydsm.create(name, length)
        try:
            A[:] = 1
            pydsm.attach(name)
        finally:
            pydsm.unlink(name)

    def plain() -> None:
        np.empty(length)[:] = 1

    def alone() -> None:
        B = SharedArray.create(f"shm://{name}", length)
        try:
            B[:] = 1
            SharedArray.attach(f"shm://{name}")
        finally:
            SharedArray.delete(f"shm://{name}")

    yield {"pydsm": _repeated(ours), "np.empty, touched": _repeated(plain), "SharedArray alone": _repeated(alone)}


def _sums(length: int) -> Iterator[dict[str, Run]]:
    with Team(1) as team:
        A = team.array("A", length)
        A[:] = 1
        B = np.ones(length)

        def ours() -> None:
            with A.locked(shared=True) as rows:
                rows.sum()

        yield {"pydsm, one thread": _repeated(ours), "np.sum": _repeated(B.sum)}


def _additions(length: int) -> Iterator[dict[str, Run]]:
    with Team(_WORKERS) as team:
        A, B, C = (team.array(name, length) for name in "ABC")
        A[:], B[:] = 1, 2
        a, b, c = np.ones(length), np.ones(length), np.empty(length)

        def prepare(worker: Worker, count: int) -> Callable[[], None]:
            mine = worker.split(length)
            part = slice(mine.start, mine.stop)
            parts = A[part], B[part], C[part]
            np.add(parts[0], parts[1], out=parts[2])  # the pages are in this worker's table now
            return partial(_add, *parts, worker, count)

        yield {
            f"pydsm, {_WORKERS} workers and a barrier": lambda count: timed(team, partial(prepare, count=count)),
            "np.add": _repeated(partial(np.add, a, b, out=c)),
            "np.copyto (bandwidth)": _repeated(partial(np.copyto, c, a)),
        }
        if C.sum() != 3 * length:
            raise RuntimeError("the sum of two vectors is wrong")


def _add(a: Array, b: Array, c: Array, worker: Worker, count: int) -> None:
    for _ in range(count):
        np.add(a, b, out=c)
        worker.barrier()


def _updates(length: int) -> Iterator[dict[str, Run]]:
    with Team(_WORKERS) as team:
        A = team.array("A", _ROWS, int)
        shares = [zipf(rank, _ROWS, length // team.size, 0) for rank in range(team.size)]
        every, ones, B = np.concatenate(shares), np.ones(length, int), np.zeros(_ROWS, int)

        def prepare(worker: Worker, count: int) -> Callable[[], None]:
            mine = shares[worker.rank]
            return partial(_accumulate, A, mine, ones[: len(mine)], worker, count)

        yield {
            f"pydsm, {_WORKERS} workers and a barrier": lambda count: timed(team, partial(prepare, count=count)),
            "np.add.at": _repeated(partial(np.add.at, B, every, ones[: len(every)])),
        }


def _accumulate(A: GlobalArray, rows: Array, values: Array, worker: Worker, count: int) -> None:
    for _ in range(count):
        A.accumulate(rows, values)
        worker.barrier()


def _bandwidth(length: int, settings: Settings) -> Iterator[Row]:
    """Yield what memory gives: STREAM's copy, each byte read and written once counted twice."""
    private, copy = np.ones(length), np.empty(length)
    runs = {"one process, private memory": _repeated(partial(np.copyto, copy, private))}
    with ExitStack() as stack:
        for size in (1, _WORKERS):
            team = stack.enter_context(Team(size))
            A, B = team.array("A", length), team.array("B", length)
            A[:] = 1
            runs[f"pydsm, {size} workers" if size > 1 else "pydsm, 1 worker"] = _copies(team, A, B)
        samples = interleave(runs, rounds=settings.curve_rounds, seconds=0)
    moved = 2 * _ELEMENT * length
    yield Table(
        f"Copying {length} elements of {_ELEMENT} bytes, as STREAM counts it",
        [("who", None), ("bandwidth", "bandwidth")],
        [[name, spread([moved / seconds for seconds in each])] for name, each in samples.items()],
    )


def _copies(team: Team, A: GlobalArray, B: GlobalArray) -> Run:
    def prepare(worker: Worker, count: int) -> Callable[[], None]:
        mine = worker.split(len(A))
        a, b = A[mine.start : mine.stop], B[mine.start : mine.stop]
        np.copyto(b, a)  # the pages are in this worker's table now
        return partial(_copy, a, b, count)

    return lambda count: timed(team, partial(prepare, count=count))


def _copy(a: Array, b: Array, count: int) -> None:
    for _ in range(count):
        np.copyto(b, a)


def _repeated(call: Callable[[], object]) -> Run:
    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - began

    return run


def _show(name: str, what: str, points: Points) -> Iterator[Row]:
    if not points:
        return
    series = [Series.of(each, found, "pydsm" if each.startswith("pydsm") else "peer") for each, found in points.items()]
    ours, plain = series[0], series[1]
    small, large = (ours.y[at].median / plain.y[at].median for at in (0, -1))
    figure = Figure(
        f"growth-{name}",
        f"{what[0].upper()}{what[1:]}: {_times(small)} as long as plain NumPy for {_power(ours.x[0])}, "
        f"{_times(large)} for {_power(ours.x[-1])}",
        "elements" if name != "updates" else "updates",
        "time",
        "time",
        series,
    )
    yield figure
    yield table_of(figure, f"{what[0].upper()}{what[1:]}", [_power(x) for x in ours.x])


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:.0f} times"


def _power(x: float) -> str:
    return f"1e{len(str(round(x))) - 1}"
