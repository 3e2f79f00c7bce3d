"""Native code reads a key of rows as the pure rules in `pydsm.core` do, errors included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydsm
from pydsm import native
from pydsm.array import GlobalArray, _read_rows, rows_of
from tests.effort import LONG

SIZES = [(23, None), (23, 5), (23, 1), (700, None), (700, 64), (3000, 3000), (5000, 2500)]
"""Rows and stripes: blocks of 1 and of more, stripes whose bits need memory and others."""

VIEWS: list[Callable[[Any], Any]] = [
    lambda A: A,
    lambda A: A[3:],
    lambda A: A[::3],
    lambda A: A[::-1],
    lambda A: A[20:2:-2],
    lambda A: A[1:][::7],
    lambda A: A[:, 1],
    lambda A: A.T,
    lambda A: A.reshape(-1),
    lambda A: A[5:6],
    lambda A: A[4:4],
    lambda A: A[2, 0, ...],
    lambda A: A[:, :0],
]

DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">u8", "longlong", "ulonglong"]


@pytest.fixture
def arrays() -> Iterator[list[GlobalArray]]:
    with pydsm.Team(1) as team:
        yield [team.array(f"A{i}", (rows, 2), int, stripes=count) for i, (rows, count) in enumerate(SIZES)]


def outcome(read: Callable[[], Any]) -> tuple[Any, ...]:
    """Return the stripes that somebody reads out of a key, or what he has to say of it."""
    try:
        return ("stripes", *read())
    except Exception as error:
        return type(error), str(error)


def by_rules(A: GlobalArray, key: object) -> list[int]:
    start, stop, stripes = _read_rows(A, rows_of(A), key)
    return list(range(start, stop)) if stripes is None else stripes.tolist()


def check(A: GlobalArray, key: object) -> None:
    assert outcome(lambda: A.locked(key).stripes().tolist()) == outcome(lambda: by_rules(A, key))


def a_row(count: int) -> st.SearchStrategy[int]:
    """Return rows of an axis of this length; at times one that it does not have."""
    within = st.integers(-count, count - 1) if count else st.nothing()
    return st.one_of(within, within, within, st.sampled_from([-count - 1, -count, count - 1, count]))


def runs(row: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    """Return long lists of neighbours and others."""
    run = st.tuples(row, st.integers(1, 40), st.integers(-2, 3))
    return st.lists(run, max_size=8).map(lambda parts: [a + i * step for a, n, step in parts for i in range(n)])


def as_array(rows: list[int], dtype: str, apart: int) -> np.ndarray:
    """Return the rows, as far as the dtype has them, as an array that may have gaps or go backwards."""
    limits = np.iinfo(dtype)
    inside = [min(max(row, int(limits.min)), int(limits.max)) for row in rows]
    spread = np.full(len(inside) * abs(apart), limits.max, dtype)
    spread[::apart] = inside
    return spread[::apart]


def masks(count: int) -> st.SearchStrategy[np.ndarray]:
    """Return sparse and dense masks, whose bytes lie together or not."""
    chosen = st.lists(st.integers(0, max(0, count - 1)), max_size=40)

    def mask(rows: list[int], invert: bool, apart: int) -> np.ndarray:
        spread = np.full(count * abs(apart), invert)
        view = spread[::apart]
        view[np.array(rows, int)[: count and None]] = not invert
        return view

    return st.builds(mask, chosen, st.booleans(), st.sampled_from([1, 1, 2, -1]))


def lists(count: int) -> st.SearchStrategy[Any]:
    some = st.one_of(st.lists(a_row(count), max_size=60), runs(a_row(count)))
    odd = st.sampled_from([True, 1.0, np.uint64(1), np.int64(1), np.int32(0), np.bool_(True), 2**70, None, [1], "1"])
    return st.one_of(
        some,
        some.map(lambda rows: [np.int64(each) for each in rows]),
        st.tuples(some, odd).map(lambda pair: [*pair[0], pair[1]]),
        st.tuples(some, odd).map(lambda pair: [pair[1], *pair[0]]),
    )


def index_arrays(count: int) -> st.SearchStrategy[Any]:
    some = st.one_of(st.lists(a_row(count), max_size=60), runs(a_row(count)))
    return st.builds(as_array, some, st.sampled_from(DTYPES), st.sampled_from([1, 1, 2, -1, -3]))


def masks_and_lists_of_bools(count: int) -> st.SearchStrategy[Any]:
    mask = masks(count)
    return st.one_of(
        mask,
        mask,
        mask.map(np.ndarray.tolist),
        mask.map(list),
        mask.map(lambda rows: rows[1:]),
        mask.map(lambda rows: [*rows.tolist(), False]),
    )


def progressions(count: int) -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-2 * count - 2, 2 * count + 2) | st.sampled_from([2**62, -(2**70)])
    step = st.none() | st.integers(-9, 9) | st.sampled_from([2**62, -(2**63), 2**70])
    return st.one_of(
        st.builds(slice, bound, bound, step),
        st.builds(range, a_row(count), a_row(count), st.integers(-9, 9).filter(bool)),
        st.sampled_from([None, ...]),
    )


@settings(max_examples=80 if LONG else 40)
@given(st.sampled_from(VIEWS), st.data())
@pytest.mark.parametrize("keys", [lists, index_arrays, masks_and_lists_of_bools, progressions])
@pytest.mark.parametrize("which", range(len(SIZES)), ids=[str(size) for size in SIZES])
def test_a_key_means_the_stripes_that_the_rules_say(
    arrays: list[GlobalArray], which: int, keys: Any, view: Any, data: Any
) -> None:
    A = view(arrays[which])
    key = data.draw(keys(len(A) if A.ndim else 1))
    if A.ndim or not isinstance(key, slice):  # which has its own refusal
        check(A, key)


class _Refusing:
    """An int to some, but not to NumPy; the list it is in ends when it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.list: list[Any] = []

    def __index__(self) -> int:
        self.asked += 1
        self.list.clear()
        return 1


class _Array(_Refusing):
    """What NumPy asks for an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.__index__())


class _List(list[Any]):
    """A list that reads itself otherwise."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([2, 3])


@pytest.mark.parametrize(
    "key",
    [
        (1, 2),
        "12",
        b"12",
        1.5,
        [1.5],
        [],
        [[1, 2]],
        [[]],
        [True],
        [np.array(1), 2],
        {1, 2},
        _List([1]),
        np.array(1),
        np.array(True),
        np.array([]),
        np.array([], int),
        np.zeros((2, 2), int),
        np.zeros((23, 2), bool),
        np.zeros(0, bool),
        np.array([1], object),
        np.array([1], "m8"),
        np.timedelta64(1),
        [np.timedelta64(1)],
        np.ma.array([1, 2], mask=[0, 1]),
        np.frombuffer(bytes(25), np.int64, 3, 1),
        np.array([256], ">i2"),  # 1, read the wrong way round
        np.array([2**63], np.uint64),
        np.array([2**64 - 1], np.uint64),
        np.array([-(2**63)], np.int64),
        [2**63 - 1],
        [-(2**63)],
        [2**63],
        range(2**70),
        range(0, 2**70, 2**69),
        range(2**63 - 1, 2**63 + 1),
        range(5, 5),
        range(30, 30),
        range(-3, 3),
        range(2, -4, -1),
        range(-1, -24, -1),
        range(-1, -25, -1),
        range(22, 24),
        slice(1, 2, 0),
        slice("a", 2),
        slice(1.5),
        object(),
    ],
    ids=repr,
)
def test_what_is_wrong_with_a_key_is_said_as_the_rules_say_it(arrays: list[GlobalArray], key: object) -> None:
    for A in arrays[:3]:
        for view in (A, A[::-1], A.T):
            check(view, key)


@pytest.fixture
def no_rules() -> Iterator[None]:
    """Let nothing come out of native code to be read."""

    def refuse(*_: object) -> Any:
        raise AssertionError("read in Python")

    member = GlobalArray.__dict__["_rows"]
    native.bind(GlobalArray, member, rows_of, refuse)
    yield
    native.bind(GlobalArray, member, rows_of, _read_rows)


@pytest.mark.parametrize("view", VIEWS[:9])
def test_the_keys_of_programs_never_leave_native_code(arrays: list[GlobalArray], no_rules: None, view: Any) -> None:
    for array in arrays:
        A = view(array)
        count = len(A)
        ints = np.arange(count)[::-1] // 2 - count
        mask = np.arange(count) % 3 == 0
        for key in (None, ..., slice(None, None, 3), slice(9, 0, -1), range(count - 1, -1, -2), range(-count, 0)):
            assert len(A.locked(key).stripes())
        for rows in (
            ints,
            mask,
            ints[::2],
            ints.astype(np.int16),
            np.arange(2, dtype=np.uint64),
            np.arange(2, dtype="u1"),
        ):
            assert len(A.locked(rows).stripes())
            assert len(A.locked(rows.tolist()).stripes())
        for rows in (ints, mask[::-1]):
            assert len(A.locked(rows).stripes())
        assert len(A.locked([np.int64(0), 1]).stripes())
        assert len(A.locked([]).stripes()) == 0


@pytest.mark.parametrize("kind", [_Refusing, _Array])
@pytest.mark.parametrize("before", [0, 1, 100])
def test_an_element_that_empties_its_list_while_it_is_read_harms_nobody(
    arrays: list[GlobalArray], kind: type[_Refusing], before: int
) -> None:
    for A in arrays:
        element = kind()
        element.list = [*range(min(before, 20)), element, *range(20)]
        try:
            stripes = A.locked(element.list).stripes().tolist()
        except (TypeError, ValueError, RuntimeError):
            assert kind is _Array or not element.asked
        else:
            assert kind is _Array
            assert set(stripes) <= set(A.locked(slice(0, 23)).stripes().tolist())


def test_rows_that_lie_in_an_array_are_read_out_of_it(arrays: list[GlobalArray]) -> None:
    """Its own elements may say which rows; they may change meanwhile, so each is loaded once."""
    A = arrays[3]
    A[:, 0] = np.arange(700)[::-1]
    assert A.locked(A[:, 0]).stripes().tolist() == list(range(350))
    A[:, 0] = 699
    assert A.locked(A[:, 0]).stripes().tolist() == [349]
