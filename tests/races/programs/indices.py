"""Index lists, masks and other keys that NumPy copies by."""

import numpy as np

from tests.races.programs import program


@program(A=(20, float))
def index_lists_no(worker):
    mine = list(range(worker.rank, 20, worker.size))
    A = worker["A"]
    A[mine] += 1
    A[np.array(mine)] = A[mine] * 2


@program(A=(20, float))
def index_lists_that_meet_yes(worker):
    worker["A"][[worker.rank, 7, 15]] += 1  # RACE


@program(A=(20, float))
def masks_no(worker):
    A = worker["A"]
    mask = np.arange(20) % worker.size == worker.rank
    A[mask] = 3
    return float(A[mask].sum())


@program(A=(20, float))
def masks_that_meet_yes(worker):
    A = worker["A"]
    mask = np.arange(20) % (worker.rank + 2) == 0
    A[mask] = 3  # RACE


@program(A=((6, 6), float))
def pairs_of_indices_no(worker):
    A = worker["A"]
    A[[0, 1, 2], [worker.rank] * 3] = 1
    A[3:, worker.rank] += A[[0, 1, 2], worker.rank]


@program(A=((6, 6), float))
def pairs_of_indices_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[[0, 3], [1, 4]] = 1  # RACE
    if worker.rank == 1:
        return float(A[3, 4])  # RACE


@program(A=((6, 6), float))
def mask_of_two_axes_no(worker):
    A = worker["A"]
    mask = np.zeros((6, 6), bool)
    mask[:, worker.rank] = True
    A[mask] = 5


@program(A=(20, float))
def put_and_take_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.put([3, 4], 1)  # RACE
    if worker.rank == 1:
        return float(A.take([4, 9]).sum())  # RACE


@program(A=(20, float))
def put_and_take_no(worker):
    A = worker["A"]
    A.put([worker.rank, worker.rank + 4], 1)
    return float(np.take(A, [worker.rank, worker.rank + 4, 19]).sum())


@program(A=(20, float))
def added_at_yes(worker):
    np.add.at(worker["A"], [worker.rank, 9], 1)  # RACE


@program(A=(20, float))
def added_at_no(worker):
    np.add.at(worker["A"], [worker.rank, worker.rank + 4, worker.rank], 1)


@program(A=(20, float))
def flat_yes(worker):
    worker["A"].reshape(4, 5).flat[7] = worker.rank  # RACE


@program(A=(20, float), I=(4, int))
def index_that_is_shared_yes(worker):
    A, index = worker["A"], worker["I"]
    if worker.rank == 0:
        index[2] = 3  # RACE
    if worker.rank == 1:
        return float(A[index].sum())  # RACE
