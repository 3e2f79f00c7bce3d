"""Handles go through every pool of the standard library and through joblib."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Iterator

import joblib
import pytest

import pydsm

ROUNDS = 200


def add_one(view: pydsm.GlobalArray) -> str:
    for _ in range(ROUNDS):
        with view.locked(0):
            view[0] += 1
    return str(view.name)


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    yield pydsm.create("pool", 10, int)
    pydsm.unlink("pool")


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_slices_are_handles_in_an_executor(A: pydsm.GlobalArray, start: str) -> None:
    context = multiprocessing.get_context(start)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(add_one, [A[3:], A[3:5], A[:4][::-1]])) == ["pool"] * 3
    assert A.tolist() == [0, 0, 0, 3 * ROUNDS, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_arrays_are_handles_in_a_process(A: pydsm.GlobalArray, start: str) -> None:
    context = multiprocessing.get_context(start)
    processes = [context.Process(target=add_one, args=(A[i:],)) for i in (0, 0, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    assert (A[0], A[5]) == (2 * ROUNDS, ROUNDS)


def test_arrays_are_handles_in_a_queue(A: pydsm.GlobalArray) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    queue.put(A[2:4])
    view = queue.get()
    view[0] = 9
    assert A[2] == 9
    queue.close()


def test_arrays_are_handles_in_joblib(A: pydsm.GlobalArray) -> None:
    names = joblib.Parallel(n_jobs=2)(joblib.delayed(add_one)(A[7:]) for _ in range(4))
    assert names == ["pool"] * 4
    assert A[7] == 4 * ROUNDS
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
