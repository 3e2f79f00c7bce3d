"""Regions inside of regions, and of several arrays at once."""

import pydsm
from tests.races.programs import program


@program(A=4)
def same_row_twice_no(worker):
    A = worker["A"]
    with A.locked(0), A.locked(0):
        A[0] += 1


@program(A=4)
def inner_region_left_no(worker):
    A = worker["A"]
    with A.locked(slice(0, 2)):
        with A.locked(0):
            A[0] += 1
        A[1] += 1


@program(A=4)
def outer_row_after_both_yes(worker):
    A = worker["A"]
    with A.locked(1), A.locked(0):
        A[0] += 1
    A[1] += 1  # RACE


@program(A=4, B=4)
def two_arrays_at_once_no(worker):
    A, B = worker["A"], worker["B"]
    for _ in range(5):
        with pydsm.locked((A, 1), (B, slice(0, 2))) as (one, two):
            two += one
            one += 1


@program(A=4, B=4, only="predict")
def only_one_of_two_arrays_yes(worker):
    """The lock of A orders accesses of B by accident."""
    A, B = worker["A"], worker["B"]
    with pydsm.locked((A, 1)):
        A[1] += 1
        B[1] += 1  # RACE


@program(A=4, B=4)
def the_wrong_array_is_held_yes(worker):
    A, B = worker["A"], worker["B"]
    if worker.rank == 0:
        with pydsm.locked((A, 0), (B, 0)):
            B[1] = 1  # RACE
    if worker.rank == 1:
        with A.locked(3):
            A[3] += B[1]  # RACE


@program(A=4)
def exclusive_then_shared_inside_no(worker):
    A = worker["A"]
    with A.locked(0):
        with A.locked(0, shared=True):
            value = A[0]
        A[0] = value + 1


@program(A=((4, 3), float))
def transfer_between_rows_no(worker):
    A = worker["A"]
    for i in range(6):
        rows = sorted({i % 4, (i + worker.rank) % 4})
        with A.locked(rows):
            A[rows[0], 0] -= 1
            A[rows[-1], 0] += 1


@program(A=((4, 3), float))
def transfer_that_locks_one_row_yes(worker):
    A = worker["A"]
    if worker.rank < 2:
        with A.locked(worker.rank):
            A[3] += 1  # RACE
