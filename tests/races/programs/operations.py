"""NumPy's functions, operators and methods."""

import numpy as np

from tests.races.programs import program


@program(A=((4, 4), float), B=((4, 4), float))
def matrix_product_yes(worker):
    A, B = worker["A"], worker["B"]
    if worker.rank == 0:
        np.dot(A, B, out=B)  # RACE
    if worker.rank == 1:
        return (A @ B).sum()  # RACE


@program(A=((8, 4), float), B=((4, 4), float))
def matrix_product_no(worker):
    A, B = worker["A"], worker["B"]
    mine = worker.split(8)
    A[mine.start : mine.stop] = A[mine.start : mine.stop] @ B
    np.matmul(A[mine.start : mine.stop], B, out=A[mine.start : mine.stop])


@program(A=(30, float))
def sorted_while_summed_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[5:20].sort()  # RACE
    if worker.rank == 1:
        return float(A.mean())  # RACE


@program(A=(30, float))
def sorted_beside_no(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[:15].sort()
    if worker.rank == 1:
        return float(A[15:].mean()) + float(np.median(A[20:]))


@program(A=(30, float))
def ufunc_with_out_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        np.sqrt(np.ones(30), out=A)  # RACE
    if worker.rank == 1:
        return np.concatenate([np.zeros(2), A])  # RACE


@program(A=(30, float))
def ufunc_with_where_no(worker):
    A = worker["A"]
    np.add(A, 1, out=A, where=np.arange(30) % worker.size == worker.rank)


@program(A=(30, float))
def ufunc_with_where_yes(worker):
    A = worker["A"]
    np.add(A, 1, out=A, where=np.arange(30) % 10 >= worker.rank)  # RACE


@program(A=(30, float))
def copyto_with_where_no(worker):
    np.copyto(worker["A"], worker.rank, where=np.arange(30) % worker.size == worker.rank)


@program(A=((5, 5), float))
def diagonal_no(worker):
    A = worker["A"]
    if worker.rank == 0:
        np.fill_diagonal(A, 1)
    if worker.rank == 1:
        A[0, 1:] = 3


@program(A=((5, 5), float))
def diagonal_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        np.fill_diagonal(A, 1)  # RACE
    if worker.rank == 1:
        return float(A.diagonal()[3])  # RACE


@program(A=(10, float))
def as_a_list_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A[9] = 1  # RACE
    if worker.rank == 1:
        return A.tolist()  # RACE


@program(A=(10, float))
def in_place_operators_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A -= 1  # RACE
    if worker.rank == 1:
        return A.copy()  # RACE


@program(A=(10, float))
def marked_as_racy_no(worker):
    import pydsm

    with pydsm.racy("a bound that is a little too large costs only time"):
        worker["A"][0] += 1


@program(A=(10, float))
def asserted_exclusive_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        A.assert_exclusive(slice(2, 5))  # RACE
    if worker.rank == 1:
        return float(A[3])  # RACE


@program(A=(10, float))
def asserted_exclusive_no(worker):
    A = worker["A"]
    with A.locked(3):
        A.assert_exclusive(3)
        A[3] += 1
