"""Atomic operations: no race among themselves, one with plain accesses."""

import numpy as np

from tests.races.programs import program


@program(A=(4, int))
def counter_no(worker):
    for _ in range(20):
        worker["A"].fetch_add(0, 1)


@program(A=(4, int))
def counter_read_plainly_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.fetch_add(0, 1)  # RACE
    if worker.rank == 1:
        return int(A[0])  # RACE


@program(A=(4, int))
def counter_added_to_plainly_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.fetch_add(0, 1)  # RACE
    if worker.rank == 1:
        A[0] += 1  # RACE


@program(A=(4, int))
def loads_and_plain_reads_no(worker):
    A = worker["A"]
    return int(A.load_acquire(0)) + int(A[0])


@program(A=(4, int))
def counter_read_after_a_barrier_no(worker):
    A = worker["A"]
    A.fetch_add(0, 1)
    worker.barrier()
    return int(A[0])


@program(A=(4, int), data=4)
def arrivals_are_counted_no(worker):
    A, data = worker["A"], worker["data"]
    data[worker.rank] = 1
    A.fetch_add(0, 1)
    A.wait_until(0, "==", worker.size)
    return float(data.sum())


@program(A=(4, int), data=4)
def counted_too_early_yes(worker):
    A, data = worker["A"], worker["data"]
    A.fetch_add(0, 1)
    data[worker.rank] = 1  # RACE
    A.wait_until(0, "==", worker.size)
    return float(data[:2].sum())  # RACE


@program(A=(4, int), data=4)
def spin_lock_no(worker):
    A, data = worker["A"], worker["data"]
    for _ in range(5):
        while not A.compare_and_swap(0, 0, 1):
            pass
        data[0] += 1
        A.store_release(0, 0)


@program(H=(10, int))
def accumulate_no(worker):
    worker["H"].accumulate([worker.rank, 5, 5], 1)


@program(H=(10, int))
def accumulate_and_plain_yes(worker):
    H = worker["H"]
    if worker.rank == 0:
        H.accumulate([1, 5, 5], 1)  # RACE
    if worker.rank == 1:
        H[5] += 1  # RACE


@program(H=(10, int))
def accumulate_beside_plain_no(worker):
    H = worker["H"]
    if worker.rank == 0:
        H.accumulate([1, 5, 5], 1)
    if worker.rank == 1:
        H[6] += 1


@program(A=(4, int))
def atomic_in_one_and_region_in_another_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.fetch_add(1, 1)  # RACE
    if worker.rank == 1:
        with A.locked(1):
            A[1] += 1  # RACE


@program(A=((3, 4), np.int32))
def elements_of_rows_no(worker):
    A = worker["A"]
    A.swap((1, worker.rank), 5)
    A[2, worker.rank] = 5
    A.fetch_max((1, 0), worker.rank)
