from __future__ import annotations

import gc
import inspect
import os
import pickle
import tempfile
import threading
from itertools import pairwise
from typing import Any

import pytest

import pydsm
from pydsm.array import GlobalArray
from pydsm.trace import Timeline
from pydsm.trace.events import Event
from pydsm.trace.files import Sheets
from pydsm.trace.lanes import INSTANTS
from pydsm.trace.records import Kind
from tests.trace.programs import (
    die_inside,
    everything,
    expected_kinds,
    fail_inside,
    give_up,
    hold_two_apart,
    in_threads,
    kinds,
    many,
    team,
)

TURNS = 6


def traced(size: int, function: Any, *args: Any, **options: Any) -> Timeline:
    with team(size, **options) as crew:
        crew.run(function, *args)
        found: Timeline = crew.timeline
    return found


@pytest.mark.parametrize(("size", "start"), [(1, "fork"), (2, "fork"), (4, "fork"), (2, "spawn"), (2, "forkserver")])
def test_all_that_workers_do_is_in_the_timeline(size: int, start: Any) -> None:
    timeline = traced(size, everything, TURNS, start=start)
    counted = kinds(timeline.events)
    assert counted["program"] == 1
    for kind, expected in expected_kinds(size, TURNS).items():
        assert counted[kind] == expected, kind
    assert counted["barrier"] >= size * (TURNS + 1)
    assert counted["barrier"] % size == 0


def test_events_say_which_rows_and_which_line() -> None:
    timeline = traced(2, everything, 3)
    lines, first = inspect.getsourcelines(everything)
    for kind, call in (("barrier", "worker.barrier()"), ("fence", "B.fence()"), ("wait_until", "B.wait_until(")):
        at = next(number for number, line in enumerate(lines, first) if call in line)
        where = next(event.where for event in timeline.events if event.kind == kind)
        assert where == os.path.relpath(f"{inspect.getsourcefile(everything)}") + f":{at}"
    assert all(event.where for event in timeline.events if event.kind in ("lock", "atomic"))
    parts = {str(part) for event in timeline.events for part in event.parts if event.kind == "lock"}
    assert parts == {"A[0]", "A[1]", "A[2]", "B[0, 3, 5]", "B[0:4]", "A[7]", "L"}
    shared = {str(part) for event in timeline.events for part in event.parts if part.shared}
    assert shared == {"B[0, 3, 5]"}
    group = next(event for event in timeline.events if len(event.parts) == 2)
    assert sorted(map(str, group.parts)) == ["A[7]", "B[0:4]"]
    atomic = {(event.what, str(event.parts[0]), event.elements) for event in timeline.events if event.what}
    assert atomic == {
        ("fetch_add", "A[2]", (2, 3)),
        ("accumulate", "A[1:5]", (1, 5)),
        ("store_release", "B[7]", (15, 16)),
        ("wait_until", "B[7]", (15, 16)),
    }


def test_times_are_in_order_and_inside_the_run() -> None:
    timeline = traced(2, everything, TURNS)
    runs = {event.rank: event for event in timeline.events if event.kind == "run"}
    (program,) = (event for event in timeline.events if event.kind == "program")
    assert (program.begin, program.end) == (timeline.runs[0].begin, timeline.runs[0].end)
    for event in timeline.events:
        assert event.begin <= event.had <= event.end
        if event.rank >= 0:
            assert program.begin <= runs[event.rank].begin <= event.begin
            assert event.end <= runs[event.rank].end <= program.end
    assert list(timeline.events) == sorted(timeline.events, key=lambda event: event.begin)


def test_holds_that_exclude_each_other_never_overlap() -> None:
    timeline = traced(4, many, 300)
    by_row: dict[Any, list[Event]] = {}
    for event in timeline.events:
        if event.kind == "lock":
            by_row.setdefault(event.parts, []).append(event)
    assert len(by_row) == 8
    for regions in by_row.values():
        regions.sort(key=lambda event: event.had)
        for before, after in pairwise(regions):
            assert before.end <= after.had


def test_a_killed_worker_leaves_all_it_did_and_what_it_was_in() -> None:
    timeline = traced(2, die_inside, 0, on_death="continue")
    (death,) = (event for event in timeline.events if event.kind == "death")
    unfinished = [event for event in timeline.events if event.outcome == "unfinished"]
    assert death.rank == 0
    assert {str(event.parts[0]) if event.parts else event.kind for event in unfinished} == {"run", "A[1]", "A[2]"}
    assert all(event.end == death.begin and event.rank == 0 for event in unfinished)
    (taken,) = (event for event in timeline.events if event.rank == 1 and event.kind == "lock")
    assert taken.outcome == ""
    assert timeline.summary().workers[0].died == 1


def test_a_failed_run_is_in_the_timeline_too() -> None:
    with team(2) as crew:
        with pytest.raises(pydsm.WorkerError, match="on purpose"):
            crew.run(fail_inside)
        timeline = crew.timeline
    assert [run.failed for run in timeline.runs] == [True]
    outcomes = {(event.kind, event.rank): event.outcome for event in timeline.events}
    assert outcomes["lock", 0] == outcomes["run", 0] == "failed"
    assert outcomes["program", -1] == "failed"


def test_who_gives_up_waited_and_held_nothing() -> None:
    timeline = traced(2, give_up)
    (event,) = (event for event in timeline.events if event.outcome == "gave up")
    assert (event.rank, event.held) == (1, 0)
    assert event.waited == event.end - event.begin >= 20_000_000
    assert all(arrow.target != timeline.events.index(event) for arrow in timeline.arrows)


def test_several_runs_of_a_team_are_one_timeline() -> None:
    with team(2) as crew:
        for turns in (1, 2, 3):
            crew.run(everything, turns)
        timeline = crew.timeline
    assert len(timeline.runs) == 3
    for before, after in pairwise(timeline.runs):
        assert before.end <= after.begin
    counted = [kinds(event for event in timeline.events if event.run == run)["lock"] for run in range(3)]
    assert counted == [10, 20, 30]
    assert {event.run for event in timeline.events} == {0, 1, 2}


def test_threads_of_a_worker_have_lanes_of_their_own() -> None:
    timeline = traced(1, in_threads)
    threads = {event.thread for event in timeline.events if event.kind == "lock"}
    assert threads == {1, 2}
    assert [lane.name for lane in timeline.lanes.all] == [
        "program",
        "worker 0",
        "worker 0, thread 1",
        "worker 0, thread 2",
    ]
    assert not [event for event in timeline.events if event.outcome]
    locks = sorted(
        (event.had, event.end) for event in timeline.events if str(event.parts[:1] and event.parts[0]) == "L"
    )
    assert len(locks) == 40
    assert all(before[1] <= after[0] for before, after in pairwise(locks))


def test_locks_may_be_given_back_in_any_order() -> None:
    timeline = traced(1, hold_two_apart)
    lock, region, *_ = (event for event in timeline.events if event.kind == "lock")
    assert lock.begin < region.begin < lock.end < region.end
    depths = dict(zip(timeline.events, timeline.lanes.depth, strict=True))
    assert depths[lock] < depths[region]


def test_nothing_is_drawn_over_something_else() -> None:
    with team(2) as crew:
        crew.run(everything, TURNS)
        crew.run(hold_two_apart)
        timeline = crew.timeline
    rows: dict[tuple[int, int], list[Event]] = {}
    for event, lane, depth in zip(timeline.events, timeline.lanes.of, timeline.lanes.depth, strict=True):
        if event.kind not in INSTANTS:
            rows.setdefault((lane, depth), []).append(event)
    for drawn in rows.values():
        assert all(before.end <= after.begin for before, after in pairwise(drawn))
    assert max(depth for _, depth in rows) == max(timeline.lanes.heights()) - 1 >= 2


def brute_force(records: list[list[int]]) -> dict[str, int]:
    """Return how long a worker waited, and for what, and held something, from its records: moment by moment."""
    spans: list[tuple[int, int, str]] = []
    run = (0, 0)
    for asked, had, released, head, _, _, _, leaving in records:
        kind = Kind(head & 0xFF)
        if kind is Kind.LOCK:
            spans += [(asked, had, "locks"), (had, leaving or released, "holding")]
        elif kind is Kind.BARRIER:
            spans.append((asked, released, "barriers"))
        elif kind is Kind.WAIT_UNTIL:
            spans.append((asked, released, "elements"))
        elif kind is Kind.RUN:
            run = (asked, released)
    total = dict.fromkeys(("running", "holding", "locks", "barriers", "elements"), 0)
    moments = sorted({moment for span in spans for moment in span[:2]} | set(run))
    for begin, end in pairwise(moments):
        there = {name for first, last, name in spans if first <= begin and end <= last}
        waits = there - {"holding"}
        assert len(waits) <= 1
        total[min(waits) if waits else "holding" if there else "running"] += end - begin
    return total


def test_shares_are_what_the_records_say_to_the_nanosecond(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[list[int]]] = []
    original = Sheets.read

    def read(self: Sheets) -> Any:
        content = original(self)
        seen.append(content[0])
        return content

    monkeypatch.setattr(Sheets, "read", read)
    timeline = traced(2, everything, TURNS)
    for worker, records in zip(timeline.summary().workers, seen, strict=True):
        assert worker.shares._asdict() == brute_force(records)
        run = next(event for event in timeline.events if event.kind == "run" and event.rank == worker.rank)
        assert worker.shares.total == run.end - run.begin
        assert worker.events == sum(event.rank == worker.rank for event in timeline.events)


def test_a_hundred_thousand_events_are_merged(large: Timeline) -> None:
    summary = large.summary()
    assert len(large.events) == 100_003
    assert sum(worker.events for worker in summary.workers) == 100_002
    assert sum(row.held for row in summary.rows) == sum(event.held for event in large.events)
    assert sum(row.waited for row in summary.rows) == sum(
        event.waited for event in large.events if event.kind == "lock"
    )


def test_the_limit_is_said_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDSM_TRACE_LIMIT", "50")
    with team(2) as crew:
        with pytest.warns(RuntimeWarning, match=r"lacks the last events of this run, 51 of worker 0, 51 of worker 1"):
            crew.run(many, 100)
        with pytest.warns(RuntimeWarning, match="a worker may record 50"):
            crew.run(many, 100)
        timeline = crew.timeline
    assert len(timeline.events) <= 2 * 51 + 2 * 2
    assert [worker.lost for worker in timeline.summary().workers] == [51 + 100, 51 + 100]
    assert "lost" in str(timeline.summary())


def test_nothing_is_recorded_and_no_class_changes_unless_asked_for() -> None:
    with pydsm.Team(1) as crew:
        assert type(crew.array("A", 3)) is GlobalArray
        with pytest.raises(RuntimeError, match="trace=True"):
            crew.timeline  # noqa: B018
    with pydsm.Team(1, trace=False) as crew:
        assert type(crew.array("A", 3)) is GlobalArray


def test_tracing_leaves_no_files_no_descriptors_and_pickles_small(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with team(2) as crew:
        crew.run(everything, 2)
        assert os.listdir(tmp_path) == []
        assert len(pickle.dumps(crew._instruments.find("trace"))) < 1000
    assert len(os.listdir("/proc/self/fd")) <= before
    assert threading.active_count() >= 1


def test_a_cluster_is_traced_as_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PYDSM_TRACE", str(tmp_path / "out.json"))
    with pydsm.Cluster(2) as cluster:
        cluster.createShared("A", 4, int)
        cluster.runProcesses(_original_api)
    assert (tmp_path / "out.json").stat().st_size > 500


def _original_api(resource: Any) -> None:
    with pydsm.Cluster.getShared("A").locked(resource["id"]):
        pydsm.Cluster.getShared("A")[resource["id"]] = 1
    pydsm.Cluster.barrier()


@pytest.mark.parametrize("bad", ["out.txt", 3, "", b"out.html"])
def test_a_path_that_says_nothing_is_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"\.html or a \.json"):
        pydsm.Team(1, trace=bad)
