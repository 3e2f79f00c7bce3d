"""What happened before what, on events made by hand and on real runs."""

from __future__ import annotations

from typing import Any

import pytest

from pydsm.trace.arrows import find_arrows
from pydsm.trace.events import ArrayInfo, Event, Part, Run
from tests.trace.programs import everything, many, team

BLOCK = 2


def arrows(*events: Event) -> list[tuple[str, int, int]]:
    """Return kind, source and target of the arrows between events, which are numbered in the order given."""
    run = Run(0, 0, 3, 0, 1000, False, {"A": ArrayInfo("A", (100,), "int64", BLOCK)})
    ordered = sorted(events, key=lambda event: event.begin)
    found = find_arrows(ordered, [run])
    return sorted((each.kind, events.index(ordered[each.source]), events.index(ordered[each.target])) for each in found)


def lock(rank: int, asked: int, had: int, end: int, *rows: tuple[int, int], array: str = "A", **more: Any) -> Event:
    shared = more.pop("shared", False)
    return Event("lock", 0, rank, 0, asked, had, end, (Part(array, rows, shared),), **more)


def atomic(rank: int, begin: int, end: int, what: str = "fetch_add", element: int = 3) -> Event:
    kind = "wait_until" if what == "wait_until" else "atomic"
    had = end if kind == "wait_until" else begin
    return Event(kind, 0, rank, 0, begin, had, end, (Part("A", ((3, 4),)),), (element, element + 1), what)


def test_a_release_comes_before_the_next_acquire_of_the_same_rows() -> None:
    found = arrows(lock(0, 0, 1, 5, (0, 1)), lock(1, 2, 6, 9, (0, 1)), lock(2, 3, 10, 12, (0, 1)))
    assert found == [("lock", 0, 1), ("lock", 1, 2)]


def test_other_rows_have_nothing_to_do_with_it_unless_they_share_a_stripe() -> None:
    assert arrows(lock(0, 0, 1, 5, (0, 1)), lock(1, 2, 6, 9, (2, 3))) == []
    assert arrows(lock(0, 0, 1, 5, (0, 1)), lock(1, 2, 6, 9, (1, 2))) == [("lock", 0, 1)]


def test_ones_own_releases_need_no_arrow() -> None:
    first, own, again = lock(0, 0, 1, 2, (0, 1)), lock(1, 3, 4, 5, (0, 1)), lock(1, 6, 7, 8, (0, 1))
    assert arrows(first, own, again) == [("lock", 0, 1)]


def test_shared_holds_come_after_exclusive_ones_and_before_the_next_exclusive_one() -> None:
    found = arrows(
        lock(0, 0, 1, 2, (0, 1)),
        lock(1, 3, 4, 8, (0, 1), shared=True),
        lock(2, 3, 5, 7, (0, 1), shared=True),
        lock(0, 4, 9, 10, (0, 1)),
        lock(1, 9, 11, 12, (0, 1)),
    )
    assert found == [("lock", 0, 1), ("lock", 0, 2), ("lock", 1, 3), ("lock", 2, 3), ("lock", 3, 4)]


def test_a_region_of_many_rows_has_one_arrow_from_each_worker_that_was_there() -> None:
    found = arrows(
        lock(0, 0, 1, 2, (0, 1)),
        lock(0, 3, 4, 5, (40, 41)),
        lock(1, 3, 4, 6, (90, 92)),
        lock(2, 4, 7, 9, (0, 50), (91, 92)),
    )
    assert found == [("lock", 1, 3), ("lock", 2, 3)]


def test_a_region_of_two_arrays_has_one_arrow_from_a_worker() -> None:
    first, second = lock(0, 0, 1, 2, (0, 1), array="A"), lock(0, 3, 4, 5, (0, 1), array="B")
    parts = (Part("A", ((0, 1),)), Part("B", ((0, 1),)))
    assert arrows(first, second, Event("lock", 0, 1, 0, 1, 6, 9, parts)) == [("lock", 1, 2)]


def test_named_locks_and_who_gives_up_or_dies() -> None:
    found = arrows(
        lock(0, 0, 1, 2, array="L"),
        lock(1, 0, 3, 3, array="L", outcome="gave up"),
        lock(2, 1, 4, 9, array="L", outcome="unfinished"),
        lock(1, 5, 10, 11, array="L"),
    )
    assert found == [("lock", 0, 2), ("lock", 0, 3)]


def test_atomic_operations_are_ordered_where_they_do_not_overlap() -> None:
    assert arrows(atomic(0, 0, 2), atomic(1, 3, 5), atomic(0, 6, 8, "load_acquire")) == [
        ("atomic", 0, 1),
        ("atomic", 1, 2),
    ]
    assert arrows(atomic(0, 0, 4), atomic(1, 3, 5)) == []
    assert arrows(atomic(0, 0, 2, "load_acquire"), atomic(1, 3, 5)) == []
    assert arrows(atomic(0, 0, 2), atomic(1, 3, 5, element=4)) == []


def test_who_waits_for_an_element_sees_the_last_write_before_it_wakes() -> None:
    assert arrows(atomic(1, 0, 9, "wait_until"), atomic(0, 3, 10), atomic(0, 12, 13)) == [("atomic", 1, 0)]


def test_the_last_at_a_barrier_lets_the_others_go() -> None:
    first = [Event("barrier", 0, rank, 0, begin, 10, 12) for rank, begin in enumerate((1, 7, 3))]
    second = [Event("barrier", 0, rank, 0, begin, 30, 31) for rank, begin in enumerate((29, 20, 25))]
    found = arrows(*first, *second)
    assert found == [("barrier", 1, 0), ("barrier", 1, 2), ("barrier", 3, 4), ("barrier", 3, 5)]


def test_a_run_starts_and_joins_its_workers_but_not_those_that_died() -> None:
    found = arrows(
        Event("program", 0, -1, 0, 0, 0, 100),
        Event("run", 0, 0, 0, 5, 5, 90),
        Event("run", 0, 1, 0, 6, 6, 50, outcome="unfinished"),
    )
    assert found == [("join", 1, 0), ("start", 0, 1), ("start", 0, 2)]


@pytest.mark.parametrize("size", [2, 4])
def test_in_real_runs_arrows_lead_forward_between_workers(size: int) -> None:
    with team(size) as crew:
        crew.run(everything, 5)
        crew.run(many, 100)
        timeline = crew.timeline
    kinds = {arrow.kind for arrow in timeline.arrows}
    assert kinds == {"lock", "barrier", "atomic", "start", "join"}
    for arrow in timeline.arrows:
        source, target = timeline.events[arrow.source], timeline.events[arrow.target]
        assert arrow.begin <= arrow.end
        assert source.begin <= arrow.begin <= source.end
        assert target.begin <= arrow.end <= target.end
        assert (source.run, source.rank) != (target.run, target.rank)
        assert source.run == target.run


def test_in_real_runs_the_arrows_of_locks_are_those_of_a_plain_search() -> None:
    with team(3) as crew:
        crew.run(everything, 5)
        timeline = crew.timeline
    events = timeline.events
    found = {(arrow.source, arrow.target) for arrow in timeline.arrows if arrow.kind == "lock"}
    assert found == plain_search(events)


def plain_search(events: Any) -> set[tuple[int, int]]:
    """Find for each row of each hold who had it last, by looking at all the others; a row is a stripe here."""
    regions = [(index, event) for index, event in enumerate(events) if event.kind == "lock"]
    pairs: set[tuple[int, int]] = set()
    for index, event in regions:
        before: set[int] = set()
        for part in event.parts:
            rows = [row for start, stop in part.rows for row in range(start, stop)] or [None]
            for row in rows:
                given = [
                    (other.end, which, shared)
                    for which, other in regions
                    for name, spans, shared in other.parts
                    if name == part.array and other.end <= event.had and (row is None or holds_row(spans, row))
                ]
                last = max((entry for entry in given if not entry[2]), default=None)
                since = [entry for entry in given if entry[2] and (last is None or entry[0] > last[0])]
                ranks = {events[which].rank: which for _, which, _ in sorted(since)}
                before |= {last[1]} if last else set()
                before |= set(ranks.values()) if not part.shared else set()
        latest: dict[int, int] = {}
        for which in before:
            rank = events[which].rank
            if rank not in latest or events[latest[rank]].end < events[which].end:
                latest[rank] = which
        pairs |= {(which, index) for rank, which in latest.items() if rank != event.rank}
    return pairs


def holds_row(spans: Any, row: int) -> bool:
    return any(start <= row < stop for start, stop in spans)
