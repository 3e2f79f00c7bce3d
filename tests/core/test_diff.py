"""Diffs find, carry and merge exactly the elements whose bits have changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core.diff import (
    Diff,
    apply,
    apply_two_ways,
    changes,
    merge,
    positions_in,
    read_positions,
    units,
    write_positions,
)

ITEMSIZES = [1, 2, 3, 4, 8, 12, 16, 24]


def memories(count: int) -> st.SearchStrategy[tuple[int, list[np.ndarray]]]:
    """Arrays of the same few elements, which differ here and there."""

    def build(itemsize: int, rows: list[list[int]]) -> tuple[int, list[np.ndarray]]:
        arrays = [np.array([[value] * itemsize for value in row], np.uint8).reshape(-1) for row in rows]
        return itemsize, [units(array, itemsize) for array in arrays]

    values = st.integers(0, 30).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(0, 2), min_size=length, max_size=length), min_size=count, max_size=count
        )
    )
    return st.builds(build, st.sampled_from(ITEMSIZES), values)


def rows(memory: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in memory]


@given(memories(2))
def test_a_diff_names_the_elements_that_differ_and_no_others(drawn: tuple[int, list[np.ndarray]]) -> None:
    _, (replica, twin) = drawn
    diff = changes(replica, twin)
    assert diff.positions.tolist() == [
        i for i, pair in enumerate(zip(rows(replica), rows(twin), strict=True)) if len(set(pair)) > 1
    ]
    assert rows(diff.values) == [rows(replica)[i] for i in diff.positions]


@given(memories(2))
def test_a_diff_makes_the_twin_what_the_replica_is(drawn: tuple[int, list[np.ndarray]]) -> None:
    _, (replica, twin) = drawn
    apply(twin, changes(replica, twin))
    assert rows(replica) == rows(twin)
    assert len(changes(replica, twin)) == 0


@given(memories(2), st.lists(st.integers(0, 30), max_size=6))
def test_a_diff_of_some_spans_is_that_part_of_the_whole_one(
    drawn: tuple[int, list[np.ndarray]], edges: list[int]
) -> None:
    _, (replica, twin) = drawn
    cuts = sorted({min(edge, len(replica)) for edge in edges})
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    part, whole = changes(replica, twin, spans), changes(replica, twin)
    chosen = [i for i in whole.positions.tolist() if any(start <= i < stop for start, stop in spans)]
    assert part.positions.tolist() == chosen
    assert whole.where(positions_in(whole.positions, spans)).positions.tolist() == chosen
    assert rows(part.values) == [rows(replica)[i] for i in chosen]


@given(memories(4))
def test_two_ways_a_diff_reaches_the_twin_everywhere_and_the_replica_where_it_is_clean(
    drawn: tuple[int, list[np.ndarray]],
) -> None:
    _, (replica, twin, theirs, their_twin) = drawn
    incoming = changes(theirs, their_twin)
    before, old_twin = rows(replica), rows(twin)
    apply_two_ways(replica, twin, incoming)
    for i in range(len(replica)):
        if i not in incoming.positions:
            assert (rows(replica)[i], rows(twin)[i]) == (before[i], old_twin[i])
        else:
            assert rows(twin)[i] == rows(theirs)[i]
            assert rows(replica)[i] == (rows(theirs)[i] if before[i] == old_twin[i] else before[i])


@given(memories(4))
def test_merged_diffs_do_what_they_do_one_after_the_other(drawn: tuple[int, list[np.ndarray]]) -> None:
    _, (start, *others) = drawn
    diffs = [changes(other, start) for other in others]
    one_by_one, at_once = start.copy(), start.copy()
    for diff in diffs:
        apply(one_by_one, diff)
    merged = merge(diffs)
    apply(at_once, merged)
    assert rows(one_by_one) == rows(at_once)
    assert merged.positions.tolist() == sorted({i for diff in diffs for i in diff.positions.tolist()})


@given(st.sets(st.integers(0, 200)))
def test_positions_are_read_as_they_were_written_down(chosen: set[int]) -> None:
    positions = np.array(sorted(chosen), np.int64)
    runs, numbers = write_positions(positions)
    assert read_positions(runs, numbers).tolist() == positions.tolist()
    assert len(numbers) <= len(positions)


def test_a_slice_is_written_down_as_one_run() -> None:
    runs, numbers = write_positions(np.arange(1000, 101_000))
    assert (runs, numbers.tolist()) == (1, [1000, 100_000])


def test_signed_zeros_and_payloads_of_nans_are_changes() -> None:
    values = np.array([0.0, np.nan, 1.0])
    other = np.array([-0.0, np.nan, 1.0])
    other.view(np.uint64)[1] |= 5
    diff = changes(units(other.view(np.uint8), 8), units(values.view(np.uint8), 8))
    assert diff.positions.tolist() == [0, 1]
    apply(units(values.view(np.uint8), 8), diff)
    assert values.tobytes() == other.tobytes()


def test_what_is_there_already_is_not_written_again() -> None:
    memory = np.zeros(4, np.uint8)
    memory.flags.writeable = False  # as a page that would have to be copied
    apply(memory, Diff(np.array([1, 3]), np.zeros(2, np.uint8)))
    apply_two_ways(memory, memory, Diff(np.array([1, 3]), np.zeros(2, np.uint8)))
    with pytest.raises(ValueError, match="read-only"):
        apply(memory, Diff(np.array([1, 3]), np.array([0, 1], np.uint8)))
