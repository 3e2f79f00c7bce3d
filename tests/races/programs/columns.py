"""Columns, fields and parts of rows: neighbours in a row are no race."""

import numpy as np

from tests.races.programs import program


@program(A=((5, 4), np.uint8))
def interleaved_columns_no(worker):
    column = worker["A"][:, worker.rank]
    for _ in range(5):
        column += 1


@program(A=((5, 4), np.uint8))
def one_column_for_all_yes(worker):
    column = worker["A"][:, 2]
    column += 1  # RACE


@program(A=((5, 8), int))
def column_and_row_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[:, 3] = 1  # RACE
    if worker.rank == 1:
        A[2, :] = 2  # RACE


@program(A=((50, 40), float))
def bands_of_columns_no(worker):
    A = worker["A"]
    mine = worker.split(40)
    for i in range(3):
        A[:, mine.start : mine.stop] += i


@program(A=((50, 40), float))
def bands_that_overlap_by_one_yes(worker):
    A = worker["A"]
    mine = worker.split(40)
    A[:, mine.start : min(40, mine.stop + 1)] = 1  # RACE


@program(A=((300, 70), float))
def every_fourth_column_no(worker):
    A = worker["A"]
    A[:, worker.rank :: 4] = worker.rank
    A[17, worker.rank :: 4] += 1


@program(A=((300, 70), float))
def strides_that_meet_yes(worker):
    A = worker["A"]
    A[:, worker.rank :: 3] = worker.rank + A[:, (worker.rank + 1) % 3 :: 3][:, :1]  # RACE


@program(A=(6, [("x", float), ("n", np.int32)]))
def fields_of_their_own_no(worker):
    A = worker["A"]
    if worker.rank < 2:
        field = A["xn"[worker.rank]]
        field += 1
        field[2] = 7


@program(A=(6, [("x", float), ("n", np.int32)]))
def one_field_for_all_yes(worker):
    worker["A"]["n"][3] += 1  # RACE


@program(A=(6, [("x", float), ("n", np.int32)]))
def field_and_whole_item_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A["n"][1] = 3  # RACE
    if worker.rank == 1:
        A[1] = (0.5, 2)  # RACE


@program(A=(6, complex))
def real_and_imaginary_parts_no(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.real[2] = 1
        A.real = 4
    if worker.rank == 1:
        A.imag[2] = 1
        A.imag += 3


@program(A=(6, complex))
def real_part_and_all_of_it_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.real[2] = 1  # RACE
    if worker.rank == 1:
        A[2] = 2j  # RACE
