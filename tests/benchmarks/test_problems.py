"""The applications of the benchmarks compute what they say, whole and in pieces."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from benchmarks.programs import problems

SIZES = {"histogram": 1000, "k-means": 200, "PageRank": 50, "sieve": 400_000, "Jacobi": 12, "matrix product": 9}


def histogram(inputs: dict[str, Any], size: int) -> Any:
    return np.histogram(inputs["values"], 256, (-4, 4))[0]


def k_means(inputs: dict[str, Any], size: int) -> Any:
    points = inputs["points"]
    centres = problems.ALL["k-means"].start(inputs, size)
    for _ in range(10):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.array(
            [points[nearest == c].mean(axis=0) if (nearest == c).any() else centres[c] for c in range(len(centres))]
        )
    return centres


def page_rank(inputs: dict[str, Any], size: int) -> Any:
    matrix = np.zeros((size, size))
    for page in range(size):
        for source in inputs["sources"][page * 10 : page * 10 + 10]:
            matrix[page, source] += inputs["degrees"][source]
    ranks = np.full(size, 1 / size)
    for _ in range(15):
        ranks = 0.15 / size + 0.85 * matrix @ ranks
    return ranks


def sieve(inputs: dict[str, Any], size: int) -> Any:
    return np.array([33860.0])  # primes below 400000


def jacobi(inputs: dict[str, Any], size: int) -> Any:
    plate = problems.ALL["Jacobi"].start(inputs, size)
    for _ in range(60):
        around = plate[:-2, 1:-1] + plate[2:, 1:-1] + plate[1:-1, :-2] + plate[1:-1, 2:]
        plate = plate.copy()
        plate[1:-1, 1:-1] = around / 4
    return plate


def product(inputs: dict[str, Any], size: int) -> Any:
    return np.einsum("ij,jk->ik", inputs["left"], inputs["right"])


ORACLES = {
    "histogram": histogram,
    "k-means": k_means,
    "PageRank": page_rank,
    "sieve": sieve,
    "Jacobi": jacobi,
    "matrix product": product,
}


def together(name: str, workers: int) -> Any:
    """Solve with threads, who share the arrays and meet in a barrier."""
    problem, size = problems.ALL[name], SIZES[name]
    inputs = problem.inputs(size)
    states, partials = map(np.empty, problems.shared_shapes(problem, inputs, size, workers))
    problems.fill(problem, inputs, size, states)
    barrier = threading.Barrier(workers)
    units = problem.units(inputs, size)
    threads = [
        threading.Thread(
            target=problems.solve, args=(problem, inputs, states, partials, units, rank, workers, barrier.wait)
        )
        for rank in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems.result(problem, states)


def test_every_application_has_an_oracle() -> None:
    assert set(ORACLES) == set(SIZES) == set(problems.ALL)


@pytest.mark.parametrize("name", ORACLES)
def test_the_serial_result_is_right(name: str) -> None:
    problem, size = problems.ALL[name], SIZES[name]
    inputs = problem.inputs(size)
    np.testing.assert_allclose(problems.serially(problem, inputs, size), ORACLES[name](inputs, size))


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", ORACLES)
def test_pieces_come_together_to_the_serial_result(name: str, workers: int) -> None:
    problem, size = problems.ALL[name], SIZES[name]
    problems.check(problem, together(name, workers), problems.serially(problem, problem.inputs(size), size))


def test_a_wrong_result_is_refused() -> None:
    with pytest.raises(RuntimeError, match="sieve: the result is not that of serial NumPy"):
        problems.check(problems.ALL["sieve"], np.array([168.0]), np.array([169.0]))
