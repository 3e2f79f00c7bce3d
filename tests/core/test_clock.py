"""Vector clocks cover exactly what happened before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core.clock import ClockTable, covers, join, new_clock, order, tick

SIZE = 3
STEPS = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=25)


def history(steps: list[tuple[int, int]]) -> list[tuple[int, int, np.ndarray, frozenset[int]]]:
    """Let each step's worker hear of another and begin an interval; return (rank, number, clock, known intervals)."""
    clocks = [new_clock(SIZE) for _ in range(SIZE)]
    known: list[frozenset[int]] = [frozenset()] * SIZE
    intervals: list[tuple[int, int, np.ndarray, frozenset[int]]] = []
    for rank, other in steps:
        join(clocks[rank], clocks[other])
        tick(clocks[rank], rank)
        known[rank] = known[rank] | known[other] | {len(intervals)}
        intervals.append((rank, int(clocks[rank][rank]), clocks[rank].copy(), known[rank]))
    return intervals


@given(STEPS)
def test_a_clock_covers_an_interval_exactly_if_it_was_heard_of(steps: list[tuple[int, int]]) -> None:
    intervals = history(steps)
    for _, _, clock, known in intervals:
        assert {i for i, (rank, number, _, _) in enumerate(intervals) if covers(clock, rank, number)} == known


@given(STEPS)
def test_the_order_of_intervals_is_total_and_contradicts_no_cause(steps: list[tuple[int, int]]) -> None:
    intervals = history(steps)
    places = [order(clock, rank) for rank, _, clock, _ in intervals]
    assert len(set(places)) == len(places)
    for i, (_, _, _, known) in enumerate(intervals):
        assert all(places[j] < places[i] for j in known - {i})


RELEASES = st.lists(
    st.tuples(st.sets(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 9), min_size=3, max_size=3)), max_size=10
)


@given(RELEASES, st.sets(st.integers(0, 50)), st.integers(0, 50), st.integers(0, 50))
def test_a_table_passes_on_the_greatest_of_what_was_released(
    releases: list[tuple[set[int], list[int]]], asked: set[int], start: int, stop: int
) -> None:
    table = ClockTable(3)
    for which, clock in releases:
        table.release(np.array(sorted(which), np.int64), np.array(clock))

    def expected(of: set[int]) -> list[int]:
        met = [clock for which, clock in releases if which & of]
        return [max(column, default=0) for column in zip(*met, strict=True)] or [0, 0, 0]

    assert table.heard(np.array(sorted(asked), np.int64)).tolist() == expected(asked)
    assert table.heard_in(start, stop).tolist() == expected(set(range(start, stop)))
