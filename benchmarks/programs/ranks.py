"""What a few operations take over MPI: with pydsm, or with one-sided calls of mpi4py's alone.

Started by `benchmarks.ranks`: ``python -m pydsm ranks.py pydsm`` on ranks that pretend to be on two nodes, or
``python ranks.py raw`` on as many ranks as there are workers.  Prints one line of JSON: operation to the
microseconds that it takes each of the workers, all of them at it at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROWS = 2000
BLOCK = 512


def per_call(act: Callable[[], Any], count: int) -> float:
    act()
    began = time.perf_counter()
    for _ in range(count):
        act()
    return (time.perf_counter() - began) / count * 1e6


def with_pydsm(count: int) -> dict[str, float]:
    import pydsm

    def program(worker: pydsm.Worker) -> dict[str, float]:
        A = worker["A"]
        rows = np.random.default_rng(worker.rank).integers(ROWS, size=count + 1).tolist()
        some = np.arange(BLOCK) + worker.rank
        taken: dict[str, float] = {}

        def update(row: int) -> None:
            with A.locked(row):
                A[row] += 1

        acts: dict[str, Callable[[], Any]] = {
            "locked +1, random rows": lambda: update(rows.pop()),
            "locked +1, one row": lambda: update(ROWS - 1),
            "fetch_add, one element": lambda: A.fetch_add(ROWS - 1, 1),
            "accumulate 4 kB": lambda: A.accumulate(some, 1),
            "barrier": worker.barrier,
        }
        for name, act in acts.items():
            worker.barrier()
            taken[name] = per_call(act, count if name != "barrier" else count // 2)
            worker.barrier()
        return taken

    with pydsm.Team() as team:
        A = team.array("A", ROWS, np.int64)
        results = team.run(program)
        updates = team.size * (count + 1)
        assert A.sum() == updates * (3 + BLOCK), "an update was lost"
    return {name: float(np.mean([taken[name] for taken in results])) for name in results[0]}


def with_mpi(count: int) -> dict[str, float]:
    from mpi4py import MPI
    from mpi4py.util.sync import Mutex

    world = MPI.COMM_WORLD
    size, rank = world.Get_size(), world.Get_rank()
    mine = -(-ROWS // size)
    memory = np.zeros(mine, np.int64)
    window = MPI.Win.Create(memory, disp_unit=8, comm=world)
    mutex = Mutex(comm=world)
    rows = np.random.default_rng(rank).integers(ROWS, size=count + 1).tolist()
    one, old, value = np.ones(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    block = np.ones(min(BLOCK, mine), np.int64)

    def update(row: int) -> None:
        home, place = divmod(row, mine)
        window.Lock(home)
        window.Get(value, home, place)
        window.Flush(home)
        value[0] += 1
        window.Put(value, home, place)
        window.Unlock(home)

    def add() -> None:
        window.Lock(size - 1, MPI.LOCK_SHARED)
        window.Fetch_and_op(one, old, size - 1, 0)
        window.Unlock(size - 1)

    def accumulate() -> None:
        window.Lock(size - 1, MPI.LOCK_SHARED)
        window.Accumulate(block, size - 1, 0)
        window.Unlock(size - 1)

    def in_mutex() -> None:
        with mutex:
            update(0)

    acts: dict[str, Callable[[], Any]] = {
        "locked +1, random rows": lambda: update(rows.pop()),
        "locked +1, one row": lambda: update((size - 1) * mine),
        "fetch_add, one element": add,
        "accumulate 4 kB": accumulate,
        "barrier": world.Barrier,
        "util.sync.Mutex, locked +1": in_mutex,
    }
    taken = {}
    for name, act in acts.items():
        world.Barrier()
        taken[name] = per_call(act, count // 4 if name.startswith("util") else count)
        world.Barrier()
    gathered = world.gather(taken)
    mutex.free()
    window.Free()
    return {name: float(np.mean([one[name] for one in gathered])) for name in acts} if gathered else {}


if __name__ == "__main__":
    measured = {"pydsm": with_pydsm, "raw": with_mpi}[sys.argv[1]](int(sys.argv[2]))
    if measured:
        print(json.dumps(measured))
