"""The file for Perfetto is what the format asks for, whatever workers did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pydsm
from pydsm.trace import Timeline
from pydsm.trace.chrome import chrome_events
from pydsm.trace.events import Event, Part
from tests.trace.chromeformat import check, check_flows, check_nesting
from tests.trace.programs import (
    die_inside,
    everything,
    fail_inside,
    give_up,
    hold_two_apart,
    in_threads,
    lock_row_0,
    team,
)


def saved(timeline: Timeline, folder: Path) -> dict[str, Any]:
    timeline.save(folder / "out.json")
    content: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return content


@pytest.mark.parametrize(
    ("size", "function", "args", "options"),
    [
        (1, everything, (3,), {}),
        (2, everything, (5,), {}),
        (4, everything, (5,), {}),
        (2, everything, (3,), {"start": "spawn"}),
        (2, die_inside, (0,), {"on_death": "continue"}),
        (2, give_up, (), {}),
        (2, hold_two_apart, (), {}),
        (2, in_threads, (), {}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_file_is_well_formed(size: int, function: Any, args: Any, options: Any, tmp_path: Path) -> None:
    with team(size, **options) as crew:
        crew.run(function, *args)
        timeline = crew.timeline
    counted = check(saved(timeline, tmp_path))
    assert counted["s"] == counted["f"] == len(timeline.arrows)
    instants = {"fence", "death", "race", "push", "pull"}
    assert counted.get("i", 0) == sum(event.kind in instants for event in timeline.events)


def test_several_runs_and_a_failed_one_are_well_formed(tmp_path: Path) -> None:
    with team(2) as crew:
        crew.run(everything, 2)
        with pytest.raises(pydsm.WorkerError):
            crew.run(fail_inside)
        crew.run(everything, 2)
        trace = saved(crew.timeline, tmp_path)
    check(trace)
    assert [event["name"] for event in trace["traceEvents"] if event.get("cat") == "program"] == [
        "run 1",
        "run 2",
        "run 3",
    ]


def test_several_teams_are_several_processes(tmp_path: Path) -> None:
    timelines = []
    for size in (1, 2):
        with team(size) as crew:
            crew.run(everything, 2)
            timelines.append(crew.timeline)
    joined = Timeline.joined(timelines)
    trace = saved(joined, tmp_path)
    check(trace)
    assert {event["pid"] for event in trace["traceEvents"]} == {1, 2}
    assert len(joined.events) == sum(map(len, timelines))
    assert [run.size for run in joined.runs] == [1, 2]
    assert joined.runs[0].end <= joined.runs[1].begin
    for event in joined.events:
        run = joined.runs[event.run]
        assert run.begin <= event.begin <= event.had <= event.end <= run.end


def test_slices_say_how_long_and_for_which_rows(tmp_path: Path) -> None:
    with team(2) as crew:
        crew.run(give_up)
        events = saved(crew.timeline, tmp_path)["traceEvents"]
    (wait,) = (event for event in events if event.get("args", {}).get("outcome") == "gave up")
    (hold,) = (event for event in events if event.get("cat") == "hold")
    assert (wait["name"], hold["name"]) == ("wait for A[5]", "A[5]")
    assert (wait["cat"], hold["args"]["rows"]) == ("wait", [[[5, 6]]])
    assert wait["args"]["waited_ns"] == round(wait["dur"] * 1000)
    assert wait["args"]["where"].endswith(f"programs.py:{hold_line(give_up, 'timeout')}")


def hold_line(function: Any, text: str) -> int:
    lines = Path(function.__code__.co_filename).read_text().split("\n")
    first: int = function.__code__.co_firstlineno
    return next(number for number in range(first, len(lines)) if text in lines[number - 1])


def test_a_hundred_thousand_events_are_well_formed(large: Timeline) -> None:
    events = chrome_events(large)
    timed = [event for event in events if event["ph"] != "M"]
    assert len(timed) > 100_000
    check_nesting(timed)
    assert sum(event["ph"] == "s" for event in timed) == sum(event["ph"] == "f" for event in timed)


def test_names_of_any_kind_are_json(tmp_path: Path) -> None:
    with pydsm.Team(1, trace=True) as crew:
        crew.array('a "quoted" <!-- <b>é', 3)
        crew.run(lock_row_0, 'a "quoted" <!-- <b>é')
        check(saved(crew.timeline, tmp_path))


def test_the_checks_find_what_is_wrong() -> None:
    cut = [
        {"ph": "X", "pid": 1, "tid": 1, "ts": 0, "dur": 2},
        {"ph": "X", "pid": 1, "tid": 1, "ts": 1, "dur": 2},
    ]
    with pytest.raises(AssertionError, match="cuts another"):
        check_nesting(cut)
    loose = [{"ph": "s", "pid": 1, "tid": 1, "ts": 2, "id": 1, "cat": "c", "name": "n"}, *cut[:1]]
    with pytest.raises(AssertionError, match="bound to nothing"):
        check_flows(loose)


def test_events_read_well() -> None:
    event = Event("lock", 0, 1, 0, 5, 8, 20, (Part("A", ((0, 2), (4, 5))), Part("L", ())))
    assert (event.waited, event.held, " + ".join(map(str, event.parts))) == (3, 12, "A[0:2, 4] + L")
