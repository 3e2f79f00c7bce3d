"""Work that is handed out: `share` orders nothing, and needs not to where everybody has rows of its own."""

import pydsm
from tests.races.programs import program


@program(A=(200, float))
def shared_loop_no(worker):
    A = worker["A"]
    for part in pydsm.share(200, chunk=7):
        A[part.start : part.stop] += 1
        A[part.start] *= 2


@program(A=(200, float))
def neighbour_of_a_piece_yes(worker):
    A = worker["A"]
    if worker.rank < 2:
        part = worker.split(200) if worker.size == 2 else range(100 * worker.rank, 100 * worker.rank + 100)
        A[part.start : min(200, part.stop + 1)] += 1  # RACE


@program(A=(200, float), total=1)
def sum_without_lock_yes(worker):
    for part in worker.share(200):
        worker["total"][0] += worker["A"][part.start : part.stop].sum()  # MAYBE
    worker["total"][0] += 1  # RACE


@program(A=(200, float))
def two_loops_with_a_barrier_no(worker):
    A = worker["A"]
    for part in worker.share(200):
        A[part.start : part.stop] = 1
    worker.barrier()
    for part in worker.share(200, chunk=10):
        A[part.start : part.stop] += 1


@program(A=(200, float))
def read_by_all_after_a_loop_yes(worker):
    A = worker["A"]
    mine = worker.split(200)
    A[mine.start : mine.stop] = 1  # RACE
    for _ in worker.share(10):
        pass
    return float(A.sum())  # RACE
