"""What Chrome's trace event format asks for, checked event by event.

As in *Trace Event Format* (Duca and Sinclair, 2016) and in what Perfetto makes of it: the
slices of a thread lie inside one another or apart, and a flow binds to the slice that is
there at its moment.
"""

from __future__ import annotations

from typing import Any

FIELDS = {
    "M": {"name", "pid", "tid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "i": {"name", "cat", "pid", "tid", "ts", "s", "args"},
    "s": {"name", "cat", "pid", "tid", "ts", "id"},
    "f": {"name", "cat", "pid", "tid", "ts", "id", "bp"},
}


def check(trace: dict[str, Any]) -> dict[str, int]:
    """Raise AssertionError if something is not as the format says; return how many events of each phase there are."""
    events = trace["traceEvents"]
    counted: dict[str, int] = {}
    for event in events:
        phase = event["ph"]
        counted[phase] = counted.get(phase, 0) + 1
        assert set(event) - {"ph"} == FIELDS[phase], event
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["name"], str)
        assert event["name"]
        if phase != "M":
            assert event["ts"] >= 0
    timed = [event for event in events if event["ph"] != "M"]
    assert events[: len(events) - len(timed)] == [event for event in events if event["ph"] == "M"]
    assert [event["ts"] for event in timed] == sorted(event["ts"] for event in timed)
    lines = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in timed} <= lines
    check_nesting(timed)
    check_flows(timed)
    return counted


def nanoseconds(event: dict[str, Any]) -> tuple[int, int]:
    """Return begin and end of a slice, as they were before they were written in microseconds."""
    begin, length = event["ts"] * 1000, event["dur"] * 1000
    assert abs(begin - round(begin)) < 1e-3
    assert abs(length - round(length)) < 1e-3
    assert length >= 0
    return round(begin), round(begin) + round(length)


def check_nesting(timed: list[dict[str, Any]]) -> None:
    stacks: dict[tuple[int, int], list[int]] = {}
    for event in timed:
        if event["ph"] == "X":
            begin, end = nanoseconds(event)
            stack = stacks.setdefault((event["pid"], event["tid"]), [])
            while stack and stack[-1] <= begin:
                stack.pop()
            assert not stack or end <= stack[-1], f"cuts another slice in two: {event}"
            stack.append(end)


def check_flows(timed: list[dict[str, Any]]) -> None:
    slices: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in timed:
        if event["ph"] == "X":
            slices.setdefault((event["pid"], event["tid"]), []).append(nanoseconds(event))
    ends: dict[int, dict[str, Any]] = {}
    moments = {(event["pid"], event["tid"], round(event["ts"] * 1000)) for event in timed if event["ph"] in "sf"}
    bound = {
        (pid, tid, moment)
        for pid, tid, moment in moments
        if any(begin <= moment < end for begin, end in slices[pid, tid])
    }
    assert bound == moments, f"bound to nothing: {moments - bound}"
    for event in timed:
        if event["ph"] in "sf":
            assert event["ph"] not in ends.setdefault(event["id"], {})
            ends[event["id"]][event["ph"]] = event
    for both in ends.values():
        assert set(both) == {"s", "f"}
        assert both["s"]["ts"] <= both["f"]["ts"]
        assert (both["s"]["cat"], both["s"]["name"]) == (both["f"]["cat"], both["f"]["name"])
        assert both["f"]["bp"] == "e"
