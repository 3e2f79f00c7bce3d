"""What `benchmarks.ranks` measures, done with pydsm: runs in a job over MPI, on its rank 0.

Each act makes a team, lets its workers repeat something, and checks that no update was lost.  Its time is from the
start of the first worker to the end of the last.  Where one worker does it *alone*, that is the first one of the
second host, the rows have their home on the first host, and all others sleep in a barrier.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

import pydsm
from benchmarks.programs import clusters, plate

__all__ = ["crew"]

ROWS = 4096
BLOCK = 512
WARM = 3
LARGE = 64 << 20
_POLL = 0.0002
_WIDTH = 512

Span = tuple[float, float]


def crew(stack: ExitStack) -> Callable[..., Any]:
    """Return what does an act so often: ``run(count, name, *about)``."""
    return lambda count, name, *about: ACTS[name](count, *about)


def _alone(worker: pydsm.Worker) -> bool:
    """Say whether this is the worker that does what one does alone: the first of the last host."""
    return worker.rank == worker.size // 2


def _timed(worker: pydsm.Worker, body: Callable[[int], object], count: int, active: bool = True) -> Span | None:
    """Warm up, then do it so often; return from when to when."""
    if active:
        body(WARM)
    worker.barrier()
    began = time.monotonic()
    if active:
        body(count)
    ended = time.monotonic()
    worker.barrier()
    return (began, ended) if active else None


def _wall(spans: list[Span | None]) -> float:
    """Return the seconds from the first start to the last end."""
    known = [span for span in spans if span is not None]
    return max(ended for _, ended in known) - min(began for began, _ in known)


def _locked(count: int, how: str) -> float:
    """Lock a row and add one to it: random rows, one hot row, or one worker alone; "nothing" only locks."""
    alone = how in ("alone", "nothing")

    def program(worker: pydsm.Worker) -> Span | None:
        A = worker["A"]
        wanted = {"random": np.random.default_rng(worker.rank).integers(ROWS, size=count + WARM)}
        rows = wanted.get(how, np.full(count + WARM, 0 if alone else ROWS - 1)).tolist()

        def update(times: int) -> None:
            for row in [rows.pop() for _ in range(times)]:
                with A.locked(row):
                    A[row] += 1

        def lock(times: int) -> None:
            for _ in range(times):
                with A.locked(0):
                    pass

        return _timed(worker, lock if how == "nothing" else update, count, not alone or _alone(worker))

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        spans = team.run(program)
        expected = 0 if how == "nothing" else (count + WARM) * (1 if alone else team.size)
        _check(int(A.sum()), expected)
    return _wall(spans)


def _fetch_add(count: int, how: str) -> float:
    def program(worker: pydsm.Worker) -> Span | None:
        A = worker["A"]

        def add(times: int) -> None:
            for _ in range(times):
                A.fetch_add(0, 1)

        return _timed(worker, add, count, how == "all" or _alone(worker))

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        spans = team.run(program)
        _check(int(A[0]), (count + WARM) * (team.size if how == "all" else 1))
    return _wall(spans)


def _accumulate(count: int) -> float:
    def program(worker: pydsm.Worker) -> Span | None:
        A = worker["A"]
        starts = first_rows(worker.rank, count + WARM, worker.size)

        def add(times: int) -> None:
            for start in [starts.pop() for _ in range(times)]:
                A.accumulate(slice(start, start + BLOCK), 1)

        return _timed(worker, add, count)

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        spans = team.run(program)
        _check(int(A.sum()), (count + WARM) * team.size * BLOCK)
    return _wall(spans)


def first_rows(rank: int, count: int, size: int) -> list[int]:
    """Return where blocks begin, each of them in one rank's part."""
    random, part = np.random.default_rng(rank), ROWS // size
    return (random.integers(size, size=count) * part + random.integers(part - BLOCK + 1, size=count)).tolist()


def _barrier(count: int, nbytes: int) -> float:
    def program(worker: pydsm.Worker) -> Span | None:
        return _timed(worker, lambda times: [worker.barrier() for _ in range(times)], count)

    with pydsm.Team() as team:
        team.array("A", (nbytes // 4096, _WIDTH), np.float64)
        return _wall(team.run(program))


def _fence(count: int, changed: int) -> float:
    """Fence an array of 8 MB alone, of which so many bytes were written that have their home elsewhere."""

    def program(worker: pydsm.Worker) -> float:
        A = worker["A"]
        took = 0.0
        if _alone(worker):
            A.fence()
            for turn in range(1, count + 1):
                if changed:
                    A[: changed // 4096] = turn
                began = time.monotonic()
                A.fence()
                took += time.monotonic() - began
        worker.barrier()
        return took

    with pydsm.Team() as team:
        A = team.array("A", (2048, _WIDTH), np.float64)
        took = max(team.run(program))
        _check(float(A.sum()), count * changed / 8)
    return took


def _put(count: int, nbytes: int) -> float:
    """Put rows that have their home on the other host; every element is new every time."""

    def program(worker: pydsm.Worker) -> float:
        A, took = worker["A"], 0.0
        rows = slice(0, rows_of(nbytes))
        if _alone(worker):
            values = [np.full(A[rows].shape, turn, A.dtype) for turn in (1, 2)]
            A.put(rows, 3)
            for turn in range(count):
                began = time.monotonic()
                A.put(rows, values[turn % 2])
                took += time.monotonic() - began
        worker.barrier()
        return took

    with pydsm.Team() as team:
        A = array_of(team, nbytes)
        took = max(team.run(program))
        _check(float(A.sum()), (2 - count % 2) * nbytes / 8)
    return took


def _get(count: int, nbytes: int, new: bool = True, into: str = "memory that exists") -> float:
    """Get rows that have their home on the other host, where somebody writes them anew each time; else nobody does.

    Reader and writer take turns by locked rows of another array, because a barrier would bring the rows itself.
    """

    def program(worker: pydsm.Worker) -> float:
        A, turns, took = worker["A"], worker["turns"], 0.0
        rows, wanted, done = slice(0, rows_of(nbytes)), 0, len(turns) - 1
        if worker.rank == 0 and new:
            for turn in range(1, count + 2):
                _await(turns, wanted, turn)
                A[rows] = turn
                A.fence(rows)
                _set(turns, done, turn)
        elif _alone(worker):
            out = np.empty(A[rows].shape, A.dtype) if into == "memory that exists" else None
            for turn in range(1, count + 2):
                if new:
                    _set(turns, wanted, turn)
                    _await(turns, done, turn)
                began = time.monotonic()
                got = A.get(rows, out)
                took += (time.monotonic() - began) * (turn > 1)  # the first one is for warming up
                _check(float(got.flat[0] + got.flat[-1]), 2.0 * turn * new)
        worker.barrier()
        return took

    with pydsm.Team() as team:
        array_of(team, nbytes)
        team.array("turns", 2 * team.size, np.int64)
        return max(team.run(program))


def rows_of(nbytes: int) -> int:
    """Return how many rows of `array_of` have so many bytes."""
    return 1 if nbytes <= 4096 else nbytes // 4096


def array_of(team: pydsm.Team, nbytes: int) -> Any:
    """Make an array of which the first rows, so many bytes, have their home on the first host."""
    shape = (64, max(1, nbytes // 8)) if nbytes <= 4096 else (2 * nbytes // 4096, _WIDTH)
    return team.array("A", shape, np.float64)


def _await(turns: Any, row: int, value: int) -> None:
    while True:
        with turns.locked(row):
            if turns[row] >= value:
                return
        time.sleep(_POLL)


def _set(turns: Any, row: int, value: int) -> None:
    with turns.locked(row):
        turns[row] = value


def _delays(seconds: float, busy: str) -> list[float]:
    """Lock rows of the first host from the second, one a millisecond, while workers of the first one are busy."""

    def program(worker: pydsm.Worker) -> list[float]:
        A, taken = worker["A"], []
        with A.locked(0):
            pass
        worker.barrier()
        until = time.monotonic() + seconds
        if worker.rank == 0:
            load = _LOADS[busy]()
            while time.monotonic() < until:
                load()
        elif _alone(worker):
            time.sleep(0.1)
            while time.monotonic() < until:
                began = time.monotonic()
                with A.locked(0):
                    A[0] += 1
                taken.append(time.monotonic() - began)
                time.sleep(0.001)
        worker.barrier()
        return taken

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        taken = [each for some in team.run(program) for each in some]
        _check(int(A[0]), len(taken))
    return taken


def _sorting() -> Callable[[], object]:
    numbers = np.random.default_rng(1).random(8_000_000)
    return lambda: np.sort(numbers)


def _keeping_the_interpreter() -> Callable[[], object]:
    usleep = ctypes.PyDLL(None).usleep
    return lambda: usleep(1_000_000)


_LOADS: dict[str, Callable[[], Callable[[], object]]] = {
    "idle": lambda: lambda: time.sleep(0.1),
    "NumPy": _sorting,
    "interpreter": _keeping_the_interpreter,
}


def _waiting(seconds: float, how: str) -> list[float]:
    """Return the cpu seconds of the workers that wait while worker 0 sleeps, and last that of a server."""

    def program(worker: pydsm.Worker) -> float:
        A = worker["A"]
        worker.barrier()
        if worker.rank == 0:
            with A.locked(0):
                worker.barrier()
                time.sleep(seconds)
                A[0] = 1
            A.fetch_add(1, 1)
            worker.barrier()
            return 0.0
        worker.barrier()
        began = time.process_time()
        if how == "lock":
            with A.locked(0):
                pass
        elif how == "element":
            A.wait_until(1, ">", 0)
        used = time.process_time() - began
        worker.barrier()
        return time.process_time() - began if how == "barrier" else used

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        began = time.process_time()
        used = team.run(program)
        server = time.process_time() - began
        _check(int(A[0] + A[1]), 2)
    return [*used[1:], server]


def _check(found: float, expected: float) -> None:
    if found != expected:
        raise RuntimeError(f"an update was lost: {found} instead of {expected}")


ACTS: dict[str, Callable[..., Any]] = {
    "locked": _locked,
    "fetch_add": _fetch_add,
    "accumulate": _accumulate,
    "barrier": _barrier,
    "fence": _fence,
    "get": _get,
    "put": _put,
    "delays": _delays,
    "waiting": _waiting,
    "plate": plate.with_pydsm,
    "clusters": clusters.with_pydsm,
}
