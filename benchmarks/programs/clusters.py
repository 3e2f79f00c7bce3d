"""k-means over MPI: points by block, sums accumulated by all, with pydsm and with mpi4py's Allreduce.

Sums of floats are rounded in the order in which they come, so the centres are compared to rounding.
"""

import functools
import time

import numpy as np

from benchmarks.programs import problems

PROBLEM = problems.ALL["k-means"]


@functools.lru_cache(1)
def _inputs(size):
    return PROBLEM.inputs(size)


def _mine(size, rank, ranks):
    """Return the points of a rank, and the first centres."""
    inputs = _inputs(size)
    start, stop = problems.share(size, rank, ranks)
    return {name: each[start:stop] for name, each in inputs.items()}, stop - start, PROBLEM.start(inputs, size)


def with_pydsm(rounds, size):
    """Let all workers do it; return the seconds.  Each round has sums of its own, so one barrier is enough."""
    import pydsm

    with pydsm.Team() as team:
        team.array("sums", (rounds, problems.CLUSTERS, 9))
        results = team.run(_cluster, rounds, size)
    for began_ended_centres in results:
        check(began_ended_centres[2], rounds, size)
    return max(ended for _, ended, _ in results) - min(began for began, _, _ in results)


def _cluster(worker, rounds, size):
    sums = worker["sums"]
    points, count, centres = _mine(size, worker.rank, worker.size)
    part = np.zeros(sums.shape[1:])
    worker.barrier()
    began = time.monotonic()
    for turn in range(rounds):
        PROBLEM.kernel(points, centres, 0, count, part)
        sums.accumulate([turn], part)
        worker.barrier()
        centres = PROBLEM.finish(np.asarray(sums[turn]), centres)
    return began, time.monotonic(), centres


def with_mpi(world, rounds, size):
    """Let all ranks do it; return the seconds."""
    points, count, centres = _mine(size, world.rank, world.size)
    part = np.zeros((problems.CLUSTERS, 9))
    sums = part.copy()
    world.Barrier()
    began = time.monotonic()
    for _ in range(rounds):
        PROBLEM.kernel(points, centres, 0, count, part)
        world.Allreduce(part, sums)
        centres = PROBLEM.finish(sums, centres)
    spans = world.allgather((began, time.monotonic()))
    if world.rank == 0:
        check(centres, rounds, size)
    return max(ended for _, ended in spans) - min(began for began, _ in spans)


@functools.lru_cache(1)
def _expected(rounds, size):
    inputs = _inputs(size)
    centres, sums = PROBLEM.start(inputs, size), np.zeros((problems.CLUSTERS, 9))
    for _ in range(rounds):
        PROBLEM.kernel(inputs, centres, 0, size, sums)
        centres = PROBLEM.finish(sums, centres)
    return centres


def check(found, rounds, size):
    """Raise unless the centres are those of one process, to rounding."""
    problems.check(PROBLEM, found, _expected(rounds, size))
