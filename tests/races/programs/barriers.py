"""Barriers, and reductions, which are barriers too."""

import numpy as np

from tests.races.programs import program


@program(A=(16, float), B=(16, float))
def stencil_no(worker):
    A, B = worker["A"], worker["B"]
    mine = worker.split(len(A) - 2)
    inner = slice(mine.start + 1, mine.stop + 1)
    for _ in range(3):
        B[inner] = (A[inner.start - 1 : inner.stop - 1] + A[inner.start + 1 : inner.stop + 1]) / 2
        worker.barrier()
        A[inner] = B[inner]
        worker.barrier()


@program(A=(16, float), B=(16, float))
def stencil_without_the_second_barrier_yes(worker):
    A, B = worker["A"], worker["B"]
    mine = worker.split(len(A) - 2)
    inner = slice(mine.start + 1, mine.stop + 1)
    for _ in range(2):
        B[inner] = A[inner.start - 1 : inner.stop - 1] + A[inner.start + 1 : inner.stop + 1]  # RACE
        worker.barrier()
        A[inner] = B[inner]  # RACE


@program(A=(16, float))
def neighbours_in_place_yes(worker):
    A = worker["A"]
    mine = worker.split(len(A))
    A[mine.start : mine.stop] += A[(mine.start - 1) % 16]  # RACE


@program(A=4)
def written_before_read_after_no(worker):
    A = worker["A"]
    A[worker.rank] = worker.rank
    worker.barrier()
    return float(A.sum())


@program(A=4)
def written_before_read_before_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[0] = 1  # RACE
    if worker.rank == 1:
        A[1] = A[0]  # RACE
    worker.barrier()


@program(A=4)
def one_writer_in_each_phase_no(worker):
    A = worker["A"]
    for turn in range(worker.size):
        if turn == worker.rank:
            A[0] += 1
        worker.barrier()


@program(A=4)
def two_writers_in_one_phase_yes(worker):
    A = worker["A"]
    for turn in range(worker.size):
        if turn == worker.rank // 2:
            A[0] = turn  # RACE
        worker.barrier()


@program(A=8)
def allreduce_orders_no(worker):
    A = worker["A"]
    A[worker.rank] = 1
    total = worker.allreduce(float(A[worker.rank]))
    return total + float(A.sum())


@program(A=8)
def allreduce_comes_too_early_yes(worker):
    A = worker["A"]
    worker.allreduce(1)
    if worker.rank == 0:
        A[:] = 1  # RACE
    if worker.rank == 1:
        return float(A.sum())  # RACE


@program(A=8)
def reduction_of_arrays_no(worker):
    A = worker["A"]
    parts = worker.allreduce(np.ones(100))
    if worker.rank == 0:
        A[:] = parts[0]
    worker.reduce(0)
    return float(A[3])


@program(A=8)
def initialised_by_one_without_barrier_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.fill(3)  # RACE
    if worker.rank == 1:
        A[5] += 1  # RACE


@program(A=8)
def double_buffer_no(worker):
    A = worker["A"].reshape(2, 4)
    for turn in range(4):
        A[turn % 2, worker.rank] = A[(turn + 1) % 2].sum()
        worker.barrier()


@program(A=8)
def one_buffer_yes(worker):
    A = worker["A"].reshape(2, 4)
    for _ in range(2):
        A[0, worker.rank] = A[0].sum()  # RACE
        worker.barrier()
