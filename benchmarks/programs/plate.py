"""Heat in a plate (Jacobi) over MPI: blocks of rows, with pydsm in two ways and with mpi4py's messages.

All do the sweeps of `problems` on the same numbers, so the results are the same to the last bit.
"""

import time

import numpy as np

from benchmarks.programs import problems

PROBLEM = problems.ALL["Jacobi"]
_FIRST, _SECOND = 10, 11  # tags


def with_pydsm(sweeps, size, how):
    """Let all workers do it; return the seconds.  `how` says what is shared: the whole plate, or the edges only."""
    import pydsm

    start = PROBLEM.start({}, size)
    with pydsm.Team() as team:
        A = team.array("A", (size, size))
        if how == "edges":
            team.array("edges", (4 * team.size, size), stripes=4 * team.size)
        else:
            team.array("B", (size, size))[:] = start
        A[:] = start
        spans = team.run({"plate": _sweep_plate, "edges": _sweep_edges}[how], sweeps)
        result = np.array(team["B"] if how == "plate" and sweeps % 2 else A)
    check(result, sweeps)
    return max(ended for _, ended in spans) - min(began for began, _ in spans)


def _inner(rows, size):
    """Return which of the rows are computed: all but the first and last of the plate, counted without those."""
    return max(rows.start, 1) - 1, min(rows.stop, size - 1) - 1


def _sweep_plate(worker, sweeps):
    """Share the whole plate, the plain way, with a barrier after each sweep."""
    here, there = worker["A"], worker["B"]
    start, stop = _inner(here.distribution(worker.rank), len(here))
    here, there = np.asarray(here), np.asarray(there)
    worker.barrier()
    began = time.monotonic()
    for _ in range(sweeps):
        PROBLEM.kernel({}, here, start, stop, there[start + 1 : stop + 1])
        worker.barrier()
        here, there = there, here
    return began, time.monotonic()


def _sweep_edges(worker, sweeps):
    """Share only the first and last rows of private blocks, twice, for even and odd sweeps."""
    A, edges = worker["A"], worker["edges"]
    start, stop = _inner(A.distribution(worker.rank), len(A))
    here = np.array(A[start : stop + 2])
    there, count = here.copy(), stop - start
    worker.barrier()
    began = time.monotonic()
    for sweep in range(sweeps):
        PROBLEM.kernel({}, here, 0, count, there[1:-1])
        here, there = there, here
        odd = 2 * (sweep % 2)
        edges[4 * worker.rank + odd], edges[4 * worker.rank + odd + 1] = here[1], here[-2]
        worker.barrier()
        if worker.rank:
            here[0] = edges[4 * worker.rank - 4 + odd + 1]
        if worker.rank < worker.size - 1:
            here[-1] = edges[4 * worker.rank + 4 + odd]
    ended = time.monotonic()
    A[start + 1 : stop + 1] = here[1:-1]
    return began, ended


def with_mpi(world, sweeps, size, how):
    """Let all ranks do it; return the seconds."""
    start, stop = problems.share(size - 2, world.rank, world.size)
    plate = PROBLEM.start({}, size)
    here = plate[start : stop + 2].copy()
    there, count = here.copy(), stop - start
    above = world.rank - 1 if world.rank else -1
    below = world.rank + 1 if world.rank < world.size - 1 else -1
    world.Barrier()
    began = time.monotonic()
    for _ in range(sweeps):
        PROBLEM.kernel({}, here, 0, count, there[1:-1])
        here, there = there, here
        _trade(world, here, above, below)
    spans = world.allgather((began, time.monotonic()))
    parts = world.gather(here[1:-1])
    if parts is not None:
        check(np.concatenate([plate[:1], *parts, plate[-1:]]), sweeps)
    return max(ended for _, ended in spans) - min(began for began, _ in spans)


def _trade(world, here, above, below):
    """Send the edges to the neighbours, and get theirs."""
    from mpi4py import MPI

    above, below = (MPI.PROC_NULL if rank < 0 else rank for rank in (above, below))
    world.Sendrecv(here[1], above, _FIRST, here[-1], below, _FIRST)
    world.Sendrecv(here[-2], below, _SECOND, here[0], above, _SECOND)


_EXPECTED = {}


def check(found, sweeps):
    """Raise unless the plate is, bit for bit, that of one process."""
    key = len(found), sweeps
    if key not in _EXPECTED:
        here = PROBLEM.start({}, key[0])
        there = here.copy()
        for _ in range(sweeps):
            PROBLEM.kernel({}, here, 0, len(here) - 2, there[1:-1])
            here, there = there, here
        _EXPECTED.clear()
        _EXPECTED[key] = here
    if not np.array_equal(found, _EXPECTED[key]):
        raise RuntimeError("the plate is not that of serial NumPy")
