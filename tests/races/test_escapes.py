"""Every statement that was tried, and whether the detector sees it: all elements, some, or none of them.

What is not seen is as much a promise as what is: docs/races.md lists it.
"""

from __future__ import annotations

import ctypes
import io
import pickle
from typing import Any

import numpy as np
import pytest

from pydsm.races.machine import is_tracked
from tests.races.spying import Spy, spied

NOTHING: Any = []
ALL: Any = ...

READS = {
    # items and views
    "A[2, 1]": (2, 1),
    "A[-1, -2]": (-1, -2),
    "A[np.int8(2), 1]": (2, 1),
    "A[2][1]": (2, 1),
    "A[1:3]": NOTHING,
    "A[1:3].sum()": slice(1, 3),
    "A[1]": NOTHING,
    "A.T[2].sum()": (slice(None), 2),
    "A[..., 0].max()": (..., 0),
    "A[None, 2:].sum()": slice(2, None),
    "A[[0, 2]]": [0, 2],
    "A[np.array([0, 2]), 1]": ([0, 2], 1),
    "A[A[:, 0] > 5]": ([0, 1, 2, 2, 2, 3, 3, 3], [0, 0, 0, 1, 2, 0, 1, 2]),
    "A[np.arange(12).reshape(4, 3) % 2 == 0]": np.arange(12).reshape(4, 3) % 2 == 0,
    "A[[True, False, True, False]]": [0, 2],
    "A[np.ix_([0, 1], [2])]": np.ix_([0, 1], [2]),
    "list(A)": NOTHING,
    "[float(x) for row in A for x in row]": ALL,
    "A.flat[4]": (1, 1),
    "A.flat[3:6]": 1,
    "list(A.flat)": ALL,
    "A.item(4)": (1, 1),
    "A.item(1, 2)": (1, 2),
    "A[3:, 0].tolist()": (3, 0),
    # operators and ufuncs
    "A + 1": ALL,
    "1 - A[2]": 2,
    "-A[:, 1]": (slice(None), 1),
    "A == 3": ALL,
    "A @ A.T": ALL,
    "divmod(A[0], 2)": 0,
    "np.sqrt(A[1])": 1,
    "np.add.reduce(A[1:])": slice(1, None),
    "np.multiply.outer(A[0], A[1])": [0, 1],
    "np.add.accumulate(A[3])": 3,
    "np.add(A, 1, out=B, where=np.arange(12).reshape(4, 3) < 4)": np.arange(12).reshape(4, 3) < 4,
    "3 in A": ALL,
    "bool(A[0, :1])": (0, 0),
    "float(A[0, :1][0])": (0, 0),
    "np.ones((4, 3)).__iadd__(A)": ALL,
    # methods
    **{
        f"A.{call}": ALL
        for call in (
            "sum()",
            "mean()",
            "var()",
            "std()",
            "min()",
            "max()",
            "argmax()",
            "argmin()",
            "any()",
            "all()",
            "prod()",
            "cumsum()",
            "cumprod()",
            "copy()",
            "tolist()",
            "tobytes()",
            "astype(int)",
            "flatten()",
            "nonzero()",
            "argsort()",
            "argpartition(1)",
            "round()",
            "clip(1, 2)",
            "repeat(2)",
            "dot(np.ones(3))",
            "dumps()",
            "__copy__()",
            "__deepcopy__({})",
            "byteswap()",
            "sum(axis=0)",
        )
    },
    "A[0].searchsorted(1)": 0,
    "A.take([1, 5])": ([0, 1], [1, 2]),
    "A.take([1], axis=0)": 1,
    "A.compress([False, True], axis=0)": 1,
    "A.trace()": ([0, 1, 2], [0, 1, 2]),
    "A.diagonal()": NOTHING,
    "A.reshape(3, 4)": NOTHING,
    "A.T.reshape(12)": ALL,
    "A.ravel()": NOTHING,
    "A.T.ravel()": ALL,
    "A.transpose().swapaxes(0, 1).squeeze()": NOTHING,
    "A.view(np.int64)": NOTHING,
    "A.real": NOTHING,
    "A.conj()": NOTHING,  # of real numbers that is the array itself
    "bytes(A)": ALL,  # which asks first whether it is an int
    "A.shape, A.dtype, A.strides, A.nbytes, len(A)": NOTHING,
    "str(A)": ALL,
    "repr(A[1])": 1,
    "f'{A[1, 1]}'": (1, 1),
    # functions
    **{
        f"np.{call}": ALL
        for call in (
            "sum(A)",
            "mean(A)",
            "median(A)",
            "dot(A, np.ones(3))",
            "concatenate([A, A])",
            "stack([A, A])",
            "sort(A)",
            "argsort(A)",
            "where(A > 3, A, 0)",
            "unique(A)",
            "cumsum(A)",
            "diff(A)",
            "histogram(A)",
            "linalg.norm(A)",
            "einsum('ij->i', A)",
            "tile(A, 2)",
            "allclose(A, 1)",
            "array_equal(A, A)",
            "count_nonzero(A)",
            "copy(A)",
            "vstack((A, A))",
            "pad(A, 1)",
            "isclose(A, 1)",
            "percentile(A, 50)",
            "array2string(A)",
            "nan_to_num(A)",
            "interp(A, [0, 1], [0, 1])",
            "bincount(A.astype(int).ravel())",
            "fft.fft(A)",
            "save(io.BytesIO(), A)",
        )
    },
    "np.take(A, [1, 5])": ([0, 1], [1, 2]),
    "np.trace(A)": ([0, 1, 2], [0, 1, 2]),
    "np.take_along_axis(A, np.array([[2], [0], [0], [1]]), axis=1)": ([0, 1, 2, 3], [2, 0, 0, 1]),
    "np.compress([True], A, axis=0)": 0,
    "np.reshape(A, 12)": NOTHING,
    "np.split(A, 2)": NOTHING,
    "np.flip(A)": NOTHING,
    "np.broadcast_to(A, (2, 4, 3))": NOTHING,
    "np.zeros_like(A)": NOTHING,
    "np.shape(A), np.ndim(A)": NOTHING,
    "np.may_share_memory(A, A)": NOTHING,
    "np.split(A, 2)[1].sum()": slice(2, None),
    "np.lib.stride_tricks.sliding_window_view(A, (2, 3))[0].sum()": slice(0, 2),
    "np.ravel(A)[4]": (1, 1),
    "np.copyto(np.empty((4, 3)), A)": ALL,
    "pickle.dumps(A.view())": NOTHING,  # a handle
    "B.__setitem__(1, A[2])": NOTHING,  # NumPy copies from a view by itself
}

WRITES = {
    "A[2, 1] = 1": (2, 1),
    "A[1:3] = 7": slice(1, 3),
    "A[:, 1] = 7": (slice(None), 1),
    "A[...] = 7": ALL,
    "A[[0, 3]] = 1": [0, 3],
    "A[[0, 3], [1, 2]] = 1": ([0, 3], [1, 2]),
    "A[np.arange(12).reshape(4, 3) % 2 == 0] = 1": np.arange(12).reshape(4, 3) % 2 == 0,
    "A[1, [0, 2]] = 1": (1, [0, 2]),
    "A += 1": ALL,
    "A[2] *= 2": 2,
    "A[2, 1] -= 2": (2, 1),
    "A[1:3, 0] **= 2": (slice(1, 3), 0),
    "A[:3] @= np.eye(3)": slice(0, 3),
    "A.T[1] += 1": (slice(None), 1),
    "A[::-1][0] = 1": 3,
    "A.reshape(-1)[4:6] = 0": ([1, 1], [1, 2]),
    "A.ravel()[0] = 0": (0, 0),
    "A.flat[4] = 1": (1, 1),
    "A.flat[[0, 5]] = 1": ([0, 1], [0, 2]),
    "A.flat = 1": ALL,
    "A.view(np.int64)[1, 0] = 1": (1, 0),
    "A.real = 1": ALL,
    "np.add(A, 1, out=A)": ALL,
    "np.add(1, 1, out=A[0, :1])": (0, 0),
    "np.exp(np.ones(3), out=A[2])": 2,
    "np.add(A, 1, out=A, where=np.arange(12).reshape(4, 3) < 4)": np.arange(12).reshape(4, 3) < 4,
    "np.add.at(A, [0, 0, 2], 1)": [0, 2],
    "np.ones((5, 3)).sum(axis=0, out=A[1])": 1,
    "np.dot(np.ones((4, 3)), np.ones((3, 3)), out=A)": ALL,
    "np.concatenate([np.ones(1), np.ones(2)], out=A[0])": 0,
    "A.fill(3)": ALL,
    "A[1].sort()": 1,
    "A[1].partition(1)": 1,
    "A.put([0, 5], 1)": ([0, 1], [0, 2]),
    "A.byteswap(True)": ALL,
    "A.setfield(1, np.float64)": ALL,
    "np.copyto(A, 1)": ALL,
    "np.copyto(A, 1, where=np.arange(12).reshape(4, 3) < 4)": np.arange(12).reshape(4, 3) < 4,
    "np.put(A, [0, 5], 1)": ([0, 1], [0, 2]),
    "np.putmask(A, np.arange(12).reshape(4, 3) < 4, 1)": np.arange(12).reshape(4, 3) < 4,
    "np.place(A, np.arange(12).reshape(4, 3) < 4, 1)": np.arange(12).reshape(4, 3) < 4,
    "np.fill_diagonal(A, 1)": ([0, 1, 2], [0, 1, 2]),
    "np.put_along_axis(A, np.array([[2], [0], [0], [1]]), 1, axis=1)": ([0, 1, 2, 3], [2, 0, 0, 1]),
    "np.nan_to_num(A, copy=False)": ALL,
    "np.squeeze(A[1:2])[0] = 1": (1, 0),
    "np.transpose(A)[0, 0] = 1": (0, 0),
    "np.split(A, 2)[1][:] = 1": slice(2, None),
    "A.assert_exclusive([1, 3])": [1, 3],
    "A.sum(axis=0, out=A[3])": 3,
    "A[0] = A[1]": 0,
}

ESCAPES = {
    # reads that NumPy or C makes of the memory itself
    "np.asarray(A)": "a read",
    "np.array(A)": "a read",
    "memoryview(A).tolist()": "a read",
    "A.data[0, 0]": "a read",
    "np.frombuffer(A)": "a read",
    "np.ones((4, 3))[:] + np.asarray(A)": "a read",
    "B.__setitem__(..., A)": "a read",
    "B.dot(A.T)": "a read",
    "[np.ascontiguousarray(A)]": "a read",
    "list(np.nditer(A))": "a read",
    "ctypes.c_double.from_address(A.ctypes.data).value": "a read",
    # writes by the same ways
    "np.asarray(A)[0] = 1": "a write",
    "memoryview(A)[0, 0] = 1": "a write",
    "A.data[0, 0] = 1.0": "a write",
    "np.frombuffer(A)[0] = 1": "a write",
    "np.lib.stride_tricks.as_strided(A, (2,), (8,))[0] = 1": "a write",
    "io.BytesIO(b'x' * 96).readinto(A)": "a write",
    "np.random.default_rng(1).random(out=A)": "a write",
    "np.random.default_rng(1).shuffle(A.view(np.ndarray))": "a write",
    "ctypes.c_double.from_address(A.ctypes.data).value = 1": "a write",
    "B.take([0, 1, 2], out=A[0])": "a write",
}  # fmt: skip


def _run(statement: str, A: Any) -> None:
    exec(statement, {"np": np, "io": io, "pickle": pickle, "ctypes": ctypes, "A": A, "B": np.ones((4, 3))})


def _mask(key: Any) -> Any:
    mask = np.zeros((4, 3), bool)
    if not (isinstance(key, list) and not key):
        mask[key] = True
    return mask


def _wrong(statements: dict[str, Any], check: Any, mode: str = "happens-before") -> dict[str, Any]:
    """Return for which statements a check of what they read and write says something, and what."""
    found = {}
    with spied((4, 3), check=mode) as spy:
        for statement in statements:
            spy.reset()
            problem = check(spy, statement)
            if problem is not None:
                found[statement] = problem
    return found


def test_the_elements_that_a_statement_reads_are_seen() -> None:
    def check(spy: Spy, statement: str) -> Any:
        reads, writes = spy.sees(lambda: _run(statement, spy.array))
        return None if np.array_equal(reads, _mask(READS[statement])) and not writes.any() else (reads, writes)

    assert _wrong(READS, check) == {}


@pytest.mark.parametrize("mode", ["happens-before", "strict"])
def test_the_elements_that_a_statement_writes_are_seen(mode: str) -> None:
    def check(spy: Spy, statement: str) -> Any:
        writes = spy.sees(lambda: _run(statement, spy.array))[1]
        return None if np.array_equal(writes, _mask(WRITES[statement])) else writes

    assert _wrong(WRITES, check, mode) == {}


def test_what_is_not_seen_is_known() -> None:
    def check(spy: Spy, statement: str) -> Any:
        reads, writes = spy.sees(lambda: _run(statement, spy.array))
        return (reads, writes) if reads.any() or writes.any() else None

    assert _wrong(ESCAPES, check) == {}


@pytest.mark.parametrize("mode", ["happens-before", "strict"])
def test_statements_do_the_same_as_on_a_plain_array(mode: str) -> None:
    def check(spy: Spy, statement: str) -> Any:
        plain = np.arange(12.0).reshape(4, 3)
        if "assert_exclusive" not in statement:
            _run(statement, plain)
        spy.sees(lambda: _run(statement, spy.array))
        return None if np.array_equal(plain, np.asarray(spy.array)) else np.asarray(spy.array)

    assert _wrong({**WRITES, **READS}, check, mode) == {}


def test_a_strict_array_is_read_only_to_writes_that_are_not_seen() -> None:
    def check(spy: Spy, statement: str) -> Any:
        try:
            spy.sees(lambda: _run(statement, spy.array))
        except (ValueError, TypeError):
            return None if np.array_equal(np.arange(12.0).reshape(4, 3), np.asarray(spy.array)) else "written"
        return "no error"

    by_address = {statement for statement in ESCAPES if "ctypes" in statement}  # writable whatever the array says
    writes = {statement: True for statement, what in ESCAPES.items() if what == "a write"}
    assert _wrong(writes, check, "strict").keys() == by_address & writes.keys()


def test_views_are_checked_and_private_copies_are_not() -> None:
    with spied((4, 3)) as spy:
        A = spy.array
        spy.enter()
        for view in (A[1:], A.T, A[1], A[:, 0], A.reshape(12), A.real, A.view(np.int64), A[None], A.diagonal()):
            assert is_tracked(view)
        for copy in (A[[0]], A[A > 1], A.copy(), A + 1, A.flatten(), A.astype(int), np.sort(A)):
            assert not (hasattr(copy, "locked") and is_tracked(copy))
