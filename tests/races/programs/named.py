"""Named locks, which publish everything."""

from tests.races.programs import program


@program(A=4, B=4, locks=("lock",))
def named_lock_no(worker):
    for _ in range(5):
        with worker["lock"]:
            worker["A"][0] += 1
            worker["B"][2] += worker["A"][0]


@program(A=4, locks=("one", "other"))
def two_named_locks_yes(worker):
    with worker["one" if worker.rank else "other"]:
        worker["A"][0] += 1  # RACE


@program(A=4, locks=("lock",))
def one_does_not_lock_yes(worker):
    if worker.rank == 0:
        with worker["lock"]:
            worker["A"][0] = 1  # RACE
    if worker.rank == 1:
        worker["A"][0] = 2  # RACE


@program(A=4, locks=("lock",))
def acquire_and_release_no(worker):
    lock = worker["lock"]
    lock.acquire()
    lock.acquire()
    worker["A"][1] += 1
    lock.release()
    worker["A"][1] += 1
    lock.release()


@program(A=4, locks=("lock",))
def released_too_early_yes(worker):
    lock = worker["lock"]
    lock.acquire()
    lock.release()
    worker["A"][1] += 1  # RACE


@program(A=4, locks=("lock",))
def handed_over_by_a_named_lock_no(worker):
    A, lock = worker["A"], worker["lock"]
    if worker.rank == 0:
        A[3] = 9
        with lock:
            A[0] = 1
        return None
    while True:
        with lock:
            if A[0]:
                break
    return float(A[3])
