"""What `benchmarks.ranks` measures, done with mpi4py alone, in its best form: runs on every rank of a job.

Rank 0 gets the orders, the others wait for it asleep.  One-sided calls need their target inside MPI where the
network makes no progress by itself; so whoever is done tests a barrier, and yields.  Where one rank works alone (the
first of the second host, on the first rank of the first host), only that target does so; the others nap.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.programs import clusters, plate

__all__ = ["crew"]

ROWS = 4096
BLOCK = 512
WARM = 3
_NAP = 0.001


def crew(stack: ExitStack) -> Callable[..., Any]:
    """Return the run on rank 0; the others work and never return."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    if world.rank:
        while (order := json.loads(_receive(world))) is not None:
            _act(world, order)
        MPI.Finalize()
        os._exit(0)
    stack.callback(_tell, world, None)

    def run(*order: Any) -> Any:
        _tell(world, order)
        return _act(world, order)

    return run


def _tell(world: Any, order: Any) -> None:
    for rank in range(1, world.size):
        world.send(json.dumps(order), rank, tag=1)


def _receive(world: Any) -> str:
    while not world.iprobe(source=0, tag=1):
        time.sleep(_NAP)
    text: str = world.recv(source=0, tag=1)
    return text


def _act(world: Any, order: Any) -> Any:
    count, name, *about = order
    return ACTS[name](world, count, *about)


def _timed(world: Any, body: Callable[[int], object], count: int, alone: bool = False, nap: float = _NAP) -> float:
    """Warm up, then do it so often; return the seconds from the first start to the last end.

    Where one rank works alone, those that are no target look every `nap` seconds.
    """
    active = not alone or world.rank == world.size // 2
    if active:
        body(WARM)
    world.Barrier()
    began = time.monotonic()
    if active:
        body(count)
    ended = time.monotonic()
    request = world.Ibarrier()
    while not request.Test():
        if alone and world.rank:
            time.sleep(nap)
        else:
            os.sched_yield()
    spans = [span for span in world.allgather((began, ended) if active else None) if span]
    return max(ended for _, ended in spans) - min(began for began, _ in spans)


class _Window:
    """Rows by block over the ranks, in one-sided memory; the sum of all rows is checked when it is freed."""

    def __init__(self, world: Any) -> None:
        from mpi4py import MPI

        self.mpi, self.world, self.part = MPI, world, ROWS // world.size
        self.win = MPI.Win.Allocate(8 * self.part, disp_unit=8, comm=world)
        self.rows = np.frombuffer(self.win.tomemory(), np.int64)
        self.win.Lock(world.rank)
        self.rows[:] = 0
        self.win.Unlock(world.rank)
        self.one, self.old = np.ones(1, np.int64), np.zeros(1, np.int64)
        world.Barrier()

    def free(self, expected: int) -> None:
        self.win.Lock(self.world.rank)
        found = self.world.allreduce(int(self.rows.sum()))
        self.win.Unlock(self.world.rank)
        del self.rows
        self.win.Free()
        if found != expected:
            raise RuntimeError(f"an update was lost: {found} instead of {expected}")

    def plainly(self, row: int) -> None:
        """Add one to a row under its lock, by Get and Put."""
        home, place = divmod(row, self.part)
        self.win.Lock(home)
        self.win.Get(self.old, home, place)
        self.win.Flush(home)
        self.win.Put(self.old + 1, home, place)
        self.win.Unlock(home)

    def atomically(self, row: int) -> None:
        """Add one to a row under its lock, by the calls of the accumulate family, which some networks do faster."""
        home, place = divmod(row, self.part)
        self.win.Lock(home)
        self.win.Get_accumulate(self.one, self.old, home, place, self.mpi.NO_OP)
        self.win.Flush(home)
        self.win.Accumulate(self.old + 1, home, place, self.mpi.REPLACE)
        self.win.Unlock(home)


def _locked(world: Any, count: int, how: str, calls: str) -> float:
    from mpi4py.util.sync import Mutex

    window, alone = _Window(world), how in ("alone", "nothing")
    mutex = Mutex(comm=world) if calls == "mutex" else None
    wanted = {"random": np.random.default_rng(world.rank).integers(ROWS, size=count + WARM)}
    rows = wanted.get(how, np.full(count + WARM, 0 if alone else ROWS - 1)).tolist()
    update = window.plainly if calls == "plain" else window.atomically

    def body(times: int) -> None:
        for row in [rows.pop() for _ in range(times)]:
            if mutex is None:
                update(row)
            elif how == "nothing":
                mutex.acquire()
                mutex.release()
            else:
                with mutex:
                    update(row)

    # The mutex locks all ranks, so all are targets: naps would cost it milliseconds.
    took = _timed(world, body, count, alone, 0.0 if mutex else _NAP)
    window.free(0 if how == "nothing" else (count + WARM) * (1 if alone else world.size))
    if mutex is not None:
        mutex.free()
    return took


def _fetch_add(world: Any, count: int, how: str) -> float:
    window, alone = _Window(world), how != "all"
    window.win.Lock_all()

    def body(times: int) -> None:
        for _ in range(times):
            window.win.Fetch_and_op(window.one, window.old, 0, 0)
            window.win.Flush(0)

    took = _timed(world, body, count, alone)
    window.win.Unlock_all()
    world.Barrier()
    window.free((count + WARM) * (1 if alone else world.size))
    return took


def _accumulate(world: Any, count: int) -> float:
    window = _Window(world)
    random, block = np.random.default_rng(world.rank), np.ones(BLOCK, np.int64)
    places = random.integers([world.size, window.part - BLOCK + 1], size=(count + WARM, 2)).tolist()
    window.win.Lock_all()

    def body(times: int) -> None:
        for home, place in [places.pop() for _ in range(times)]:
            window.win.Accumulate(block, home, place)
            window.win.Flush(home)

    took = _timed(world, body, count)
    window.win.Unlock_all()
    world.Barrier()
    window.free((count + WARM) * world.size * BLOCK)
    return took


def _barrier(world: Any, count: int, nbytes: int) -> float:
    return _timed(world, lambda times: [world.Barrier() for _ in range(times)], count)


def _put_and_flush(world: Any, count: int, changed: int) -> float:
    """As a fence after so many bytes were written: put them, flush, read a word (the fence's question what is new)."""
    from mpi4py import MPI

    size = max(8, changed)
    win = MPI.Win.Allocate(size if world.rank == 0 else 0, disp_unit=8, comm=world)
    values, word = np.ones(size // 8), np.zeros(1)
    win.Lock_all()

    def body(times: int) -> None:
        for _ in range(times):
            if changed:
                win.Put(values, 0)
                win.Flush(0)
            win.Get(word, 0)
            win.Flush(0)

    took = _timed(world, body, count, alone=True)
    win.Unlock_all()
    win.Free()
    return took


def _message(world: Any, count: int, nbytes: int, is_put: bool) -> float:
    """Send so many bytes there and a byte back, or the other way round; buffers exist."""
    data, byte = np.zeros(nbytes, np.uint8), np.zeros(1, np.uint8)
    asker = world.size // 2
    there, back = (data, byte) if is_put else (byte, data)

    def ask(times: int) -> None:
        for _ in range(times):
            world.Send(there, 0)
            world.Recv(back, 0)

    def serve(times: int) -> None:
        for _ in range(times):
            world.Recv(there, asker)
            world.Send(back, asker)

    if world.rank not in (0, asker):
        return _timed(world, lambda times: None, count, alone=True)
    if world.rank == 0:
        serve(WARM)
        world.Barrier()
        serve(count)
        world.Ibarrier().Wait()
        spans = [span for span in world.allgather(None) if span]
        return float(spans[0][1] - spans[0][0])
    return _timed(world, ask, count, alone=True)


def _waiting(world: Any, seconds: float, how: str) -> list[float]:
    """Return the cpu seconds of the ranks that wait in a barrier while rank 0 sleeps."""
    world.Barrier()
    began = time.process_time()
    if world.rank == 0:
        time.sleep(seconds)
    world.Barrier()
    used: list[float] = world.allgather(time.process_time() - began)
    return used[1:]


ACTS: dict[str, Callable[..., Any]] = {
    "locked": _locked,
    "fetch_add": _fetch_add,
    "accumulate": _accumulate,
    "barrier": _barrier,
    "fence": _put_and_flush,
    "get": partial(_message, is_put=False),
    "put": partial(_message, is_put=True),
    "waiting": _waiting,
    "plate": plate.with_mpi,
    "clusters": clusters.with_mpi,
}
