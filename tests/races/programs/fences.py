"""Fences: one on each side, and between them something that synchronises."""

from tests.races.programs import program


@program(Q=1, B=10)
def fences_on_both_sides_no(worker):
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[:] = 42
        B.fence()
        with Q.locked(0):
            Q[0] = 1
        return None
    while True:
        with Q.locked(0):
            if Q[0]:
                break
    B.fence()
    return float(B.sum())


@program(Q=1, B=10, possible=True)
def handed_over_under_another_lock_no(worker):
    """The trap of the contract: right on a coherent machine, wrong under entry consistency."""
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[:] = 42
        with Q.locked(0):
            Q[0] = 1
        return None
    while True:
        with Q.locked(0):
            if Q[0]:
                break
    return float(B.sum())


@program(Q=1, B=10, only="predict")
def fence_on_one_side_yes(worker):
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[:] = 42  # RACE
        with Q.locked(0):
            Q[0] = 1
        return None
    while True:
        with Q.locked(0):
            if Q[0]:
                break
    B.fence()
    return float(B.sum())  # RACE


@program(B=10)
def fences_and_nothing_between_yes(worker):
    B = worker["B"]
    if worker.rank == 0:
        B[:] = 42  # RACE
        B.fence()
    if worker.rank == 1:
        B.fence()
        return float(B.sum())  # RACE


@program(Q=1, B=10)
def regions_with_fence_no(worker):
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B[:] = 42
        with Q.locked(0, fence=True):
            Q[0] = 1
        return None
    while True:
        with Q.locked(0, fence=True):
            if Q[0]:
                break
    return float(B.sum())


@program(Q=1, B=10)
def written_again_after_the_fence_yes(worker):
    Q, B = worker["Q"], worker["B"]
    if worker.rank == 0:
        B.fence()
        with Q.locked(0):
            Q[0] = 1
        B[3] = 1  # RACE
        return None
    while True:
        with Q.locked(0):
            if Q[0]:
                break
    B.fence()
    return float(B[3])  # RACE
