"""Several arrays, and arrays that workers make."""

import numpy as np

import pydsm
from tests.races.programs import program


@program(A=4, B=4)
def same_rows_of_two_arrays_no(worker):
    if worker.rank == 0:
        worker["A"][0] = 1
    if worker.rank == 1:
        worker["B"][0] = 1


@program(A=4, B=4)
def copied_from_one_to_another_yes(worker):
    A, B = worker["A"], worker["B"]
    if worker.rank == 0:
        A[:] = 1  # RACE
    if worker.rank == 1:
        B[:] = A  # RACE


@program(A=(4, float), B=(4, float))
def copyto_no(worker):
    if worker.rank == 0:
        np.copyto(worker["A"], worker["B"])
    if worker.rank == 1:
        return float(worker["B"].max())


@program(A=4)
def made_by_a_worker_no(worker):
    if worker.rank == 0:
        made = pydsm.create("made", 5)
        made[:] = 4
    worker.barrier()
    return float(worker["made"].sum())


@program(A=4)
def made_by_a_worker_yes(worker):
    if worker.rank == 0:
        pydsm.create("made", 5)
    worker.barrier()
    worker["made"][3] = 1  # RACE


@program(A=4, B=(4, int))
def elements_of_two_arrays_yes(worker):
    A, B = worker["A"], worker["B"]
    if worker.rank == 0:
        A[1] = 1  # RACE 1
        B[2] = 1  # RACE 2
    if worker.rank == 1:
        A[1] += B[2]  # RACE 1 # RACE 2
