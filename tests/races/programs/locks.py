"""Regions of one array."""

from tests.races.programs import program


@program(A=4)
def counter_without_lock_yes(worker):
    worker["A"][0] += 1  # RACE


@program(A=4)
def counter_with_lock_no(worker):
    A = worker["A"]
    for _ in range(20):
        with A.locked(0):
            A[0] += 1


@program(A=4, only="predict")
def lock_of_another_row_yes(worker):
    """Both workers lock, but not the row they write: the lock orders them by accident."""
    A = worker["A"]
    with A.locked(1):
        A[2] += 1  # RACE


@program(A=4)
def locks_of_different_rows_yes(worker):
    A = worker["A"]
    with A.locked(worker.rank):
        A[3] += 1  # RACE


@program(A=(8, int))
def own_rows_no(worker):
    A = worker["A"]
    for _ in range(10):
        A[worker.rank] += 1


@program(A=4)
def read_without_lock_yes(worker):
    A = worker["A"]
    if worker.rank == 0:
        with A.locked(1):
            A[1] = 5  # RACE
    if worker.rank == 1:
        return float(A[1])  # RACE


@program(A=4)
def only_reads_no(worker):
    return float(worker["A"][0]) + float(worker["A"][:2].sum())


@program(A=4)
def shared_readers_and_a_writer_no(worker):
    A = worker["A"]
    for turn in range(5):
        if worker.rank == 0:
            with A.locked(slice(0, 2)):
                A[:2] = turn
        else:
            with A.locked(slice(0, 2), shared=True):
                assert A[0] == A[1]


@program(A=4)
def write_in_a_shared_region_yes(worker):
    """Sharers do not exclude one another; both get in before either leaves."""
    A = worker["A"]
    with A.locked(1, shared=True):
        A[1] += 1  # RACE


@program(A=6)
def lock_of_too_few_rows_yes(worker):
    A = worker["A"]
    if worker.rank < 2:
        with A.locked(slice(3 * worker.rank, 3 * worker.rank + 3)):
            A[2:4] += 1  # RACE


@program(A=6)
def slices_that_do_not_meet_no(worker):
    A = worker["A"]
    if worker.rank < 2:
        with A.locked(slice(3 * worker.rank, 3 * worker.rank + 3)) as rows:
            rows += 1


@program(A=6)
def lock_by_a_list_no(worker):
    A = worker["A"]
    for _ in range(5):
        with A.locked([0, 3, 5]):
            A[[0, 3, 5]] += 1


@program(A=6)
def written_after_the_region_yes(worker):
    A = worker["A"]
    with A.locked(2):
        A[2] += 1  # MAYBE
    if worker.rank == 0:
        A[2] = 7  # RACE
    if worker.rank == 1:
        A[2] = 8  # RACE


@program(A=6)
def row_view_kept_after_the_region_yes(worker):
    A = worker["A"]
    part = A[1:3]
    with A.locked(slice(1, 3)):
        part += 1  # MAYBE
    part += 1  # RACE


@program(A=2)
def try_lock_no(worker):
    A = worker["A"]
    from pydsm import LockTimeoutError

    try:
        with A.locked(0, timeout=0):
            A[0] += 1
    except LockTimeoutError:
        pass


@program(A=2)
def lock_that_was_not_had_yes(worker):
    A = worker["A"]
    from pydsm import LockTimeoutError

    try:
        with A.locked(0, timeout=0):
            pass
    except LockTimeoutError:
        pass
    if worker.rank == 0:
        A[1] = 1  # RACE
    if worker.rank == 1:
        A[1] = 2  # RACE
