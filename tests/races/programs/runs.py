"""Start and join of runs, and what the parent does in between."""

from tests.races.programs import program


@program(A=8, runs=2)
def one_run_after_another_no(worker):
    A = worker["A"]
    A[(worker.rank + worker["turn"]) % worker.size] += 1


@program(A=8, runs=3)
def every_run_by_another_worker_no(worker):
    if worker.rank == worker["turn"] % worker.size:
        worker["A"][:] += 1


@program(A=8, runs=2)
def second_run_only_yes(worker):
    if worker["turn"] == 1:
        worker["A"][0] += 1  # RACE


@program(A=8, runs=2)
def first_run_only_no(worker):
    """Races of the run before are no races of this one."""
    if worker["turn"] == 1:
        return float(worker["A"][0])
    if worker.rank == 0:
        worker["A"][0] += 1


@program(A=8, runs=2)
def lock_of_the_run_before_yes(worker):
    A = worker["A"]
    if worker["turn"] == 0:
        with A.locked(0):
            A[0] += 1
    else:
        A[0] += 1  # RACE


@program(A=8)
def written_by_the_parent_no(worker):
    return float(worker["A"].sum())


@program(A=8)
def one_after_the_other_in_time_yes(worker):
    """Nothing but time lies between: the first has ended long before the second begins."""
    A = worker["A"]
    worker["first"].wait_for(worker.rank)
    A[0] += 1  # RACE
    worker["first"].done(worker.rank)
