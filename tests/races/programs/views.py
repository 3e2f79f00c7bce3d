"""Views: what they alias counts, not what they are called."""

import numpy as np

from tests.races.programs import program


@program(A=(20, float))
def halves_no(worker):
    A = worker["A"]
    if worker.rank < 2:
        half = A[10 * worker.rank : 10 * worker.rank + 10]
        half[:] = 3
        half[-1] += half[0]


@program(A=(20, float))
def halves_that_overlap_yes(worker):
    A = worker["A"]
    if worker.rank < 2:
        half = A[9 * worker.rank : 9 * worker.rank + 10]
        half[:] = 3  # RACE


@program(A=((6, 4), float))
def transposed_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.T[1] = 4  # RACE
    if worker.rank == 1:
        A[5] = 3  # RACE


@program(A=((6, 4), float))
def transposed_no(worker):
    worker["A"].T[worker.rank] += 4


@program(A=(24, float))
def reshaped_no(worker):
    table = worker["A"].reshape(4, 6)
    table[worker.rank] = 1
    table[worker.rank][2] = 5


@program(A=(24, float))
def reshaped_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.reshape(4, 6)[1, 0] = 1  # RACE
    if worker.rank == 1:
        A[6] = 1  # RACE


@program(A=(20, float))
def every_other_row_no(worker):
    A = worker["A"]
    if worker.rank < 2:
        A[worker.rank :: 2] += 1


@program(A=(20, float))
def backwards_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[::-1][0] = 1  # RACE
    if worker.rank == 1:
        A[19] = 2  # RACE


@program(A=(20, float))
def backwards_no(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[::-1][:10] = 1
    if worker.rank == 1:
        A[:10] = 2


@program(A=((4, 3), float))
def rows_by_iteration_no(worker):
    for number, row in enumerate(worker["A"]):
        if number == worker.rank:
            row += 1


@program(A=((4, 3), float))
def rows_by_iteration_yes(worker):
    for row in worker["A"]:
        row += 1  # RACE


@program(A=(8, np.int64))
def other_dtype_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.view(np.uint64)[3] = 1  # RACE
    if worker.rank == 1:
        A[3] = 2  # RACE


@program(A=(4096, float))
def large_slices_no(worker):
    A = worker["A"]
    mine = worker.split(4096)
    A[mine.start : mine.stop] += 1
    A[mine.start : mine.stop] *= 2


@program(A=(5000, float))
def large_slices_that_overlap_yes(worker):
    A = worker["A"]
    if worker.rank < 2:
        A[2000 * worker.rank : 2000 * worker.rank + 2001] += 1  # RACE


@program(A=(5000, float))
def one_row_of_all_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A *= 2  # RACE
    if worker.rank == 1:
        A[4321] = 2  # RACE


@program(A=(10, float))
def region_view_no(worker):
    A = worker["A"]
    with A.locked(slice(2, 4)) as rows:
        rows[0] += 1
        rows[:] = rows[::-1] + 1


@program(A=((4, 3, 2), float))
def squeezed_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        np.squeeze(A[1:2])[2, 1] = 4  # RACE
    if worker.rank == 1:
        A[1].ravel()[5] = 3  # RACE
