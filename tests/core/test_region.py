from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core.region import count_rows, intervals_of, merge, move

COUNT = 23
indices = st.integers(-COUNT, COUNT - 1)
bounds = st.none() | st.integers(-2 * COUNT, 2 * COUNT)
keys = st.one_of(
    indices,
    indices.map(np.int64),
    st.builds(slice, bounds, bounds, st.none() | st.integers(-5, 5).filter(bool)),
    st.lists(indices, max_size=30),
    st.lists(indices, max_size=30).map(lambda rows: np.array(rows, np.int32)),
    st.lists(st.booleans(), min_size=COUNT, max_size=COUNT).map(np.array),
    st.lists(st.booleans(), min_size=COUNT, max_size=COUNT),
    st.none(),
    st.just(...),
)


def rows_in(intervals: np.ndarray) -> set[int]:
    return {row for start, stop in intervals for row in range(start, stop)}


def oracle(key: object) -> set[int]:
    if isinstance(key, list) and not key:
        return set()  # NumPy would read an empty list as floats
    rows = np.arange(COUNT)
    return set(np.atleast_1d(rows if key is None else rows[key]).tolist())


@given(keys)
def test_a_key_means_the_rows_that_numpy_takes(key: object) -> None:
    intervals = intervals_of(key, COUNT)
    assert rows_in(intervals) == oracle(key)
    assert count_rows(intervals) == len(oracle(key))


@given(keys)
def test_intervals_of_rows_ascend_and_do_not_overlap(key: object) -> None:
    flat = intervals_of(key, COUNT).reshape(-1)
    assert (np.diff(flat) >= 0).all()
    assert (flat[1::2] > flat[0::2]).all()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=12))
def test_merge_keeps_the_rows_and_leaves_gaps(pairs: list[tuple[int, int]]) -> None:
    intervals = np.array([(start, start + n) for start, n in pairs], np.intp).reshape(-1, 2)
    merged = merge(intervals)
    assert rows_in(merged) == rows_in(intervals)
    assert (merged[1:, 0] > merged[:-1, 1]).all()


@given(st.lists(st.integers(0, 20), unique=True), st.integers(-3, 3).filter(bool), st.integers(60, 70))
def test_move_maps_each_row(rows: list[int], step: int, origin: int) -> None:
    moved = move(intervals_of(rows, 21), origin, step)
    assert rows_in(moved) == {origin + row * step for row in rows}


@pytest.mark.parametrize("key", [1.0, "1", (1,), [[1, 2]], [1.5], np.float64(1), True, np.True_, [None], object()])
def test_what_is_no_row_is_a_type_error(key: object) -> None:
    with pytest.raises(TypeError, match="rows are an int"):
        intervals_of(key, COUNT)


@pytest.mark.parametrize("key", [COUNT, -COUNT - 1, [0, COUNT], np.array([2**40]), [True] * (COUNT - 1)])
def test_what_is_out_of_range_is_an_index_error(key: object) -> None:
    with pytest.raises(IndexError, match="array 'H'"):
        intervals_of(key, COUNT, "H")


@pytest.mark.parametrize("key", [[], slice(3, 3), slice(5, 2), np.zeros(COUNT, bool), np.array([], int)])
def test_nothing_is_no_interval(key: object) -> None:
    assert intervals_of(key, COUNT).shape == (0, 2)
