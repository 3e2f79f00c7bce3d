"""The applications compiled by numba, its threads in the place of workers: a reference, not the same programs.

The loops are written as a numba user would, over elements and without temporary arrays.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from benchmarks.crews import crew_of
from benchmarks.programs import problems

__all__ = ["KNOWS", "numba_crew"]

KNOWS = ("histogram", "k-means", "PageRank", "sieve", "Jacobi")
"""The matrix product is BLAS's under numba too."""


def numba_crew(stack, workers):
    """Return the run; everything is compiled before it is timed."""
    import numba
    from numba import njit, prange

    numba.set_num_threads(min(workers, numba.config.NUMBA_NUM_THREADS))

    @njit(parallel=True)
    def histogram(values, parts):
        counts = np.zeros((parts, problems.BINS))
        for part in prange(parts):
            mine = counts[part]
            for k in range(part * len(values) // parts, (part + 1) * len(values) // parts):
                if -4 <= values[k] <= 4:
                    mine[min(problems.BINS - 1, int((values[k] + 4) * (problems.BINS / 8)))] += 1
        return counts.sum(axis=0)

    @njit(parallel=True)
    def assign(points, centres, parts):
        sums = np.zeros((parts, centres.shape[0], centres.shape[1] + 1))
        for part in prange(parts):
            mine = sums[part]
            for k in range(part * len(points) // parts, (part + 1) * len(points) // parts):
                best, nearest = np.inf, 0
                for c in range(len(centres)):
                    distance = 0.0
                    for axis in range(centres.shape[1]):
                        distance += (points[k, axis] - centres[c, axis]) ** 2
                    if distance < best:
                        best, nearest = distance, c
                for axis in range(centres.shape[1]):
                    mine[nearest, axis] += points[k, axis]
                mine[nearest, -1] += 1
        return sums.sum(axis=0)

    @njit(parallel=True)
    def pull(ranks, sources, first, degrees, out):
        given = ranks * degrees
        for page in prange(len(out)):
            total = 0.0
            for k in range(first[page], first[page + 1]):
                total += given[sources[k]]
            out[page] = problems.DAMPING * total + (1 - problems.DAMPING) / len(ranks)

    @njit(parallel=True)
    def sieve(size, primes):
        segments = -(-size // problems.SEGMENT)
        found = 0
        for segment in prange(segments):
            first = segment * problems.SEGMENT
            is_prime = np.ones(min(problems.SEGMENT, size - first), np.bool_)
            if first == 0:
                is_prime[:2] = False
            for p in primes:
                if p * p >= first + len(is_prime):
                    break
                is_prime[max(p * p - first, -first % p) :: p] = False
            found += is_prime.sum()
        return found

    @njit(parallel=True)
    def relax(here, there):
        for i in prange(1, here.shape[0] - 1):
            for j in range(1, here.shape[1] - 1):
                there[i, j] = (here[i - 1, j] + here[i + 1, j] + here[i, j - 1] + here[i, j + 1]) * 0.25

    def cluster(job):
        centres = job.problem.start(job.inputs, job.size)
        for _ in range(job.problem.steps):
            centres = job.problem.finish(assign(job.inputs["points"], centres, workers), centres)
        return centres

    def rank(job):
        here = job.problem.start(job.inputs, job.size)
        there = np.empty_like(here)
        links = [job.inputs[name] for name in ("sources", "first", "degrees")]
        for _ in range(job.problem.steps):
            pull(here, *links, there)
            here, there = there, here
        return here

    def warm(job):
        here = job.problem.start(job.inputs, job.size)
        there = here.copy()
        for _ in range(job.problem.steps):
            relax(here, there)
            here, there = there, here
        return here

    programs = {
        "histogram": lambda job: histogram(job.inputs["values"], workers),
        "k-means": cluster,
        "PageRank": rank,
        "sieve": lambda job: np.array([sieve(job.size, job.inputs["primes"])], float),
        "Jacobi": warm,
    }

    def prepare(job, stack):
        found = []

        def compute():
            found[:] = [programs[job.problem.name](job)]

        compute()
        return compute, lambda: found[0]

    return crew_of(prepare)
