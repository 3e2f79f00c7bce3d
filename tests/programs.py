"""Functions that workers run under spawn and forkserver too, so they live in a module."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np

import pydsm


def rank_and_size(worker: pydsm.Worker) -> tuple[int, int]:
    return worker.rank, worker.size


def count_randomly(worker: pydsm.Worker, operations: int) -> None:
    """Add 1 to the rows of random regions of every shape, under every kind of region."""
    A, B, lock = worker["A"], worker["B"], worker["lock"]
    rows, dice = len(A), random.Random(worker.rank)
    for _ in range(operations):
        kind = dice.randrange(9)
        if kind == 0:
            i = dice.randrange(-rows, rows)
            with A.locked(i):
                A[i] += 1
        elif kind == 1:
            key = random_slice(dice, rows)
            with A.locked(key) as view:
                view += 1
        elif kind == 2:
            key = random_rows(dice, rows)
            with A.locked(key):
                A[key] += 1
        elif kind == 3:
            mask = np.zeros(rows, bool)
            mask[random_rows(dice, rows)] = True
            with A.locked(mask):
                A[mask] += 1
        elif kind == 4:
            with A.locked() as view:
                view += 1
        elif kind == 5:
            i = dice.randrange(rows)
            with A.locked(slice(0, i + 1)), A.locked(i):  # nested in itself
                A[i] += 1
        elif kind == 6:
            i, key = dice.randrange(rows), random_slice(dice, rows)
            with pydsm.locked((B, key), (A, i)) as (b, a):
                a += 1
                b += 1
        elif kind == 7:
            with A.locked(random_slice(dice, rows), shared=True) as view:
                view.sum()
        else:
            with lock:
                worker["C"][0] += 1


def expected_counts(size: int, rows: int, operations: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what `count_randomly` must have left, by NumPy alone."""
    A, B, C = np.zeros(rows, int), np.zeros(rows, int), 0
    for rank in range(size):
        dice = random.Random(rank)
        for _ in range(operations):
            kind = dice.randrange(9)
            if kind == 0:
                A[dice.randrange(-rows, rows)] += 1
            elif kind == 1:
                A[random_slice(dice, rows)] += 1
            elif kind in (2, 3):
                A[random_rows(dice, rows)] += 1
            elif kind == 4:
                A += 1
            elif kind == 5:
                A[dice.randrange(rows)] += 1
            elif kind == 6:
                i, key = dice.randrange(rows), random_slice(dice, rows)
                A[i] += 1
                B[key] += 1
            elif kind == 7:
                random_slice(dice, rows)
            else:
                C += 1
    return A, B, C


def random_slice(dice: random.Random, rows: int) -> slice:
    return slice(dice.randrange(-rows, rows), dice.randrange(-rows, rows), dice.choice([-3, -2, -1, 1, 1, 2, 5]))


def random_rows(dice: random.Random, rows: int) -> list[int]:
    return dice.sample(range(rows), dice.randrange(5))


def add(resource, n):
    """The original README's example, to the letter."""
    myid = resource["id"]
    A = pydsm.Cluster.getShared("A")
    B = pydsm.Cluster.getShared("B")
    C = pydsm.Cluster.getShared("C")
    myidxs = pydsm.Cluster.splitIndices(n, myid, random=False)
    C[myidxs] = A[myidxs] + B[myidxs]
    pydsm.Cluster.barrier()
    if myid == 1:
        print("Check out vector C in processes: ", np.array(C))


def until(condition: Callable[[], object]) -> None:
    """Go on when another worker has made something true."""
    while not condition():
        os.sched_yield()


def share_out(worker: pydsm.Worker, n: int) -> list[int]:
    return [i for part in worker.share(n, chunk=3) for i in part]


def in_a_worker(method: str, *args: object) -> None:
    """Call a method of a worker in one, and raise what it raised."""
    with pydsm.Team(1) as team:
        try:
            team.run(lambda worker: getattr(worker, method)(*args))
        except pydsm.WorkerError as error:
            raise (error.__cause__ or error) from None


def reduce_mixed(worker: pydsm.Worker, rounds: int) -> list[object]:
    """Reduce numbers and arrays that grow and shrink, in turns."""
    mine = []
    for k in range(rounds):
        mine.append(worker.allreduce(worker.rank + k))
        mine.append(worker.allreduce(np.arange(7 * k % 50, dtype=np.int32) * worker.rank, "max").tolist())
        mine.append(worker.reduce(float(k), "mul", root=k % worker.size))
        mine.append(worker.allreduce(np.full(1500 * k, worker.rank + 1)).sum().item())
    return mine


def expected_mixed(size: int, rank: int, rounds: int) -> list[object]:
    """Return what `reduce_mixed` must give."""
    mine: list[object] = []
    for k in range(rounds):
        mine.append(sum(other + k for other in range(size)))
        mine.append([i * (size - 1) for i in range(7 * k % 50)])
        mine.append(float(k) ** size if rank == k % size else None)
        mine.append(1500 * k * size * (size + 1) // 2)
    return mine
