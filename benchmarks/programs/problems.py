"""Six applications in plain NumPy, cut so that each piece of the work is a call of one function.

Whoever runs them, one process, workers over shared memory, or tasks that send their results,
calls the same functions on the same numbers; what differs is how the pieces come together.
Only NumPy is needed, so that interpreters with other packages can run them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SEGMENT = 1 << 17
BINS = 256
CLUSTERS = 16
DAMPING = 0.85


@dataclass(frozen=True)
class Problem:
    """What is computed, step by step, from a state to the next.

    Attributes
    ----------
    gathers : bool
        Pieces are rows of the next state; otherwise they are summed, and `finish` makes the
        next state of the sum.
    is_local : bool
        A row of the next state needs its neighbours only (`edge` rows before and after).
    """

    name: str
    what: str
    size: int
    quick_size: int
    steps: int
    gathers: bool
    inputs: Callable
    """size -> arrays that nobody changes."""
    start: Callable
    """inputs, size -> the first state."""
    units: Callable
    """inputs, size -> how many pieces there could be at most."""
    kernel: Callable
    """inputs, state, from, to, out: compute a piece into `out`."""
    shape: Callable
    """inputs, state -> the shape of a sum."""
    finish: Callable
    """sum, state -> the next state."""
    edge: int = 0
    is_local: bool = False


def share(units, rank, size):
    """Return from where to where a worker has to work."""
    return rank * units // size, (rank + 1) * units // size


def solve(problem, inputs, states, partials, units, rank, size, barrier):
    """Be one of `size` workers who share `states` (two) and `partials`; leave the result in states[steps % 2]."""
    start, stop = share(units, rank, size)
    edge = problem.edge
    for step in range(problem.steps):
        here, there = states[step % 2], states[(step + 1) % 2]
        if problem.gathers:
            problem.kernel(inputs, here, start, stop, there[start + edge : stop + edge])
            barrier()
        else:
            # Sums of this step and of the last one lie apart, so one barrier is enough.
            sums = partials[step % 2]
            problem.kernel(inputs, here[rank], start, stop, sums[rank])
            barrier()
            there[rank] = problem.finish(sums.sum(axis=0), here[rank])


def shared_shapes(problem, inputs, size, workers):
    """Return the shapes of `states` and `partials` for `solve`."""
    state = problem.start(inputs, size)
    if problem.gathers:
        return (2, *state.shape), (2, 1)
    return (2, workers, *state.shape), (2, workers, *problem.shape(inputs, state))


def fill(problem, inputs, size, states):
    """Write the first state where `solve` wants it."""
    states[:] = problem.start(inputs, size)


def result(problem, states):
    """Return the last state after `solve`."""
    last = states[problem.steps % 2]
    return np.array(last if problem.gathers else last[0])


def serially(problem, inputs, size):
    """Return the last state, computed by this process alone."""
    shapes = shared_shapes(problem, inputs, size, 1)
    states, partials = np.empty(shapes[0]), np.empty(shapes[1])
    fill(problem, inputs, size, states)
    solve(problem, inputs, states, partials, problem.units(inputs, size), 0, 1, lambda: None)
    return result(problem, states)


def check(problem, found, expected):
    """Raise if a result is not that of the serial computation."""
    if not np.allclose(found, expected, rtol=1e-9, atol=1e-12):
        raise RuntimeError(f"{problem.name}: the result is not that of serial NumPy")


# -- histogram: count samples, one pass ------------------------------------------


def _samples(size):
    return {"values": np.random.default_rng(1).normal(size=size)}


def _count(inputs, state, start, stop, out):
    out[:] = np.histogram(inputs["values"][start:stop], BINS, (-4, 4))[0]


# -- k-means: assign points to centres, move the centres --------------------------


def _points(size):
    random = np.random.default_rng(2)
    points = random.normal(size=(size, 8)) + 4 * random.integers(0, 3, size=(size, 1))
    return {"points": points, "squares": (points**2).sum(axis=1)}


def _assign(inputs, centres, start, stop, out):
    out[:] = 0
    for begin in range(start, stop, 8192):  # pieces that stay in the cache
        points = inputs["points"][begin : min(stop, begin + 8192)]
        distances = (centres**2).sum(axis=1) - 2 * points @ centres.T
        nearest = distances.argmin(axis=1)
        out[:, -1] += np.bincount(nearest, minlength=CLUSTERS)
        for axis in range(points.shape[1]):
            out[:, axis] += np.bincount(nearest, points[:, axis], CLUSTERS)


def _move(sums, centres):
    return np.where(sums[:, -1:] > 0, sums[:, :-1] / np.maximum(1, sums[:, -1:]), centres)


# -- PageRank: pull ranks along the links -----------------------------------------


def _links(size):
    random = np.random.default_rng(3)
    per_page = 10
    sources = random.integers(size, size=size * per_page)
    degrees = np.maximum(1, np.bincount(sources, minlength=size))
    return {"sources": sources, "first": np.arange(0, size * per_page + 1, per_page), "degrees": 1 / degrees}


def _pull(inputs, ranks, start, stop, out):
    first = inputs["first"][start : stop + 1]
    sources = inputs["sources"][first[0] : first[-1]]
    given = (ranks * inputs["degrees"])[sources]
    np.add.reduceat(given, first[:-1] - first[0], out=out)
    out *= DAMPING
    out += (1 - DAMPING) / len(ranks)


# -- sieve: count primes, segment by segment --------------------------------------


def _small_primes(size):
    limit = int(size**0.5) + 1
    is_prime = np.ones(limit + 1, bool)
    is_prime[:2] = False
    for p in range(2, int(limit**0.5) + 1):
        if is_prime[p]:
            is_prime[p * p :: p] = False
    return {"primes": np.flatnonzero(is_prime), "size": np.array(size)}


def _sieve(inputs, state, start, stop, out):
    size, found = int(inputs["size"]), 0
    for first in range(start * SEGMENT, min(stop * SEGMENT, size), SEGMENT):
        is_prime = np.ones(min(SEGMENT, size - first), bool)
        if first == 0:
            is_prime[:2] = False
        for p in inputs["primes"].tolist():
            if p * p >= first + len(is_prime):
                break
            is_prime[max(p * p - first, -first % p) :: p] = False
        found += int(np.count_nonzero(is_prime))
    out[:] = found


# -- Jacobi: heat in a plate ------------------------------------------------------


def _plate(inputs, size):
    plate = np.zeros((size, size))
    plate[0], plate[:, 0] = 1, 2
    return plate


def _relax(inputs, plate, start, stop, out):
    inner = out[:, 1:-1]
    np.add(plate[start:stop, 1:-1], plate[start + 2 : stop + 2, 1:-1], out=inner)
    inner += plate[start + 1 : stop + 1, :-2]
    inner += plate[start + 1 : stop + 1, 2:]
    inner *= 0.25
    out[:, 0], out[:, -1] = plate[start + 1 : stop + 1, 0], plate[start + 1 : stop + 1, -1]


# -- matrix product ---------------------------------------------------------------


def _matrices(size):
    random = np.random.default_rng(4)
    return {"left": random.normal(size=(size, size)), "right": random.normal(size=(size, size))}


def _multiply(inputs, state, start, stop, out):
    np.matmul(inputs["left"][start:stop], inputs["right"], out=out)


def _no_inputs(size):
    return {}


def _zeros(size):
    return lambda inputs, given: np.zeros(size)


def _sum_only(sums, state):
    return sums


ALL = {
    problem.name: problem
    for problem in (
        Problem(
            "histogram",
            "{} samples into 256 bins",
            10_000_000,
            1_000_000,
            1,
            False,
            _samples,
            _zeros(BINS),
            lambda inputs, size: size,
            _count,
            lambda inputs, state: state.shape,
            _sum_only,
        ),
        Problem(
            "k-means",
            "{} points, 16 centres, 10 rounds",
            300_000,
            20_000,
            10,
            False,
            _points,
            lambda inputs, size: inputs["points"][:: size // CLUSTERS][:CLUSTERS].copy(),
            lambda inputs, size: size,
            _assign,
            lambda inputs, state: (CLUSTERS, state.shape[1] + 1),
            _move,
        ),
        Problem(
            "PageRank",
            "{} pages with 10 links, 15 rounds",
            300_000,
            20_000,
            15,
            True,
            _links,
            lambda inputs, size: np.full(size, 1 / size),
            lambda inputs, size: size,
            _pull,
            _zeros(1),
            _sum_only,
        ),
        Problem(
            "sieve",
            "primes below {}",
            60_000_000,
            6_000_000,
            1,
            False,
            _small_primes,
            _zeros(1),
            lambda inputs, size: -(-size // SEGMENT),
            _sieve,
            lambda inputs, state: state.shape,
            _sum_only,
        ),
        Problem(
            "Jacobi",
            "a plate of {} x {}, 60 sweeps",
            1_200,
            300,
            60,
            True,
            _no_inputs,
            _plate,
            lambda inputs, size: size - 2,
            _relax,
            _zeros(1),
            _sum_only,
            edge=1,
            is_local=True,
        ),
        Problem(
            "matrix product",
            "{} x {}",
            2_000,
            600,
            1,
            True,
            _matrices,
            lambda inputs, size: np.zeros((size, size)),
            lambda inputs, size: size,
            _multiply,
            _zeros(1),
            _sum_only,
        ),
    )
}
