"""Arrays that come to a worker by other ways: closures, arguments, pickles, names."""

import pickle

import pydsm
from tests.races.programs import program


@program(A=(10, float))
def from_a_closure_yes(worker):
    worker["closed"]()[4] += 1  # RACE


@program(A=(10, float))
def from_a_closure_no(worker):
    A = worker["closed"]()
    with A.locked(4):
        A[4] += 1


@program(A=(10, float))
def pickled_view_yes(worker):
    view = pickle.loads(pickle.dumps(worker["A"][2:5]))
    if worker.rank == 0:
        view[1] = 1  # RACE
    if worker.rank == 1:
        worker["A"][3] = 2  # RACE


@program(A=(10, float))
def pickled_view_no(worker):
    view = pickle.loads(pickle.dumps(worker["A"][worker.rank : worker.rank + 1]))
    view += 1


@program(A=(10, float))
def attached_by_name_yes(worker):
    pydsm.attach("A")[7] += 1  # RACE


@program(A=(10, float))
def attached_by_name_no(worker):
    A = pydsm.attach("A")
    with A.locked(7):
        A[7] += 1
