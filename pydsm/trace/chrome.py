"""Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open.

Slices of one thread must lie inside one another or apart.  Regions need not: one may be left
after a later one that outlives it.  What does not fit goes to a line of its own beside.

A flow, the format's name for an arrow, binds to the innermost slice that there is at its
moment, and an end of a slice is outside of it: so arrows begin and end a little inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Final

from pydsm.trace.events import NOTICEABLE, Event
from pydsm.trace.lanes import INSTANTS

if TYPE_CHECKING:
    from pydsm.trace.timeline import Timeline

__all__ = ["chrome_events", "write_chrome"]

_INSET: Final = 10
_BESIDE: Final = 100_000
_MEANINGS: Final = {
    "lock": "released, then acquired",
    "barrier": "the last to come lets all go",
    "atomic": "an atomic operation sees what another left",
    "start": "the program starts a worker",
    "join": "the program waits for a worker",
}


def write_chrome(timeline: Timeline, file: IO[str]) -> None:
    """Write a timeline as JSON, an event a line."""
    file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
    separator = ""
    for event in chrome_events(timeline):
        file.write(separator + json.dumps(event, separators=(",", ":"), ensure_ascii=False))
        separator = ",\n"
    file.write("\n]}\n")


def chrome_events(timeline: Timeline) -> list[dict[str, Any]]:
    """Return the trace events: what names the lines, then all others in the order of time."""
    slices = list(_slices(timeline))
    tids = _place(slices)
    names = list(_names(timeline, {*tids}))
    timed = [_slice(item, tid) for item, tid in zip(slices, tids, strict=True)]
    timed += _instants(timeline)
    timed += _flows(timeline, slices, tids)
    lanes = timeline.lanes.all
    for event in timed:
        event["pid"] = lanes[(event["tid"] - 1) % _BESIDE].team + 1
    timed.sort(key=lambda event: (event["ts"], -event.get("dur", 0)))
    for event in timed:
        event["ts"] = event["ts"] / 1000
        if "dur" in event:
            event["dur"] = event["dur"] / 1000
    return names + timed


class _Slice:
    """Something with a begin and an end, on a line of the program or of a worker's thread."""

    __slots__ = ("args", "begin", "end", "event", "kind", "lane", "name")

    def __init__(self, kind: str, name: str, lane: int, begin: int, end: int, event: int, args: dict[str, Any]) -> None:
        self.kind, self.name, self.lane = kind, name, lane
        self.begin, self.end, self.event, self.args = begin, max(end, begin + 1), event, args


def _slices(timeline: Timeline) -> Iterator[_Slice]:
    """Yield slices in the order of their begins, the longer first."""
    found: list[_Slice] = []
    for index, event in enumerate(timeline.events):
        if event.kind not in INSTANTS:
            found += _of_event(event, index, timeline.lanes.of[index])
    yield from sorted(found, key=lambda item: (item.begin, -item.end))


def _of_event(event: Event, index: int, lane: int) -> Iterator[_Slice]:
    args = _args(event)
    if event.kind != "lock":
        name = f"run {event.run + 1}" if event.kind in ("program", "run") else _title(event)
        yield _Slice(event.kind, name, lane, event.begin, event.end, index, args)
        return
    args["waited_ns"] = event.waited
    gave_up = event.outcome == "gave up"
    if event.waited >= NOTICEABLE or gave_up:
        yield _Slice("wait", f"wait for {_title(event)}", lane, event.begin, event.had, index, args)
    if not gave_up:
        yield _Slice("hold", _title(event), lane, event.had, event.end, index, args)


def _title(event: Event) -> str:
    about = " + ".join(map(str, event.parts))
    if event.kind in ("atomic", "wait_until"):
        return f"{event.what} {about}"
    return about or event.kind


def _args(event: Event) -> dict[str, Any]:
    args: dict[str, Any] = {}
    if event.parts:
        args["array"] = [part.array for part in event.parts]
        args["rows"] = [part.rows for part in event.parts]
        args["shared"] = any(part.shared for part in event.parts)
    if event.where:
        args["where"] = event.where
    if event.outcome:
        args["outcome"] = event.outcome
    if event.details is not None:
        args["details"] = event.details
    return args


def _place(slices: list[_Slice]) -> list[int]:
    """Return each slice's line: its lane's, or one beside it where it would cut another in two."""
    open_ends: dict[int, list[int]] = {}
    tids = []
    for item in slices:
        tid = item.lane
        while True:
            ends = open_ends.setdefault(tid, [])
            while ends and ends[-1] <= item.begin:
                ends.pop()
            if not ends or item.end <= ends[-1]:
                break
            tid += _BESIDE
        ends.append(item.end)
        tids.append(tid)
    return tids


def _names(timeline: Timeline, tids: set[int]) -> Iterator[dict[str, Any]]:
    lanes = timeline.lanes.all
    for team in sorted({lane.team for lane in lanes}):
        yield _metadata(team, 0, "process_name", {"name": f"team {timeline.teams[team]}"})
    for tid in sorted({*tids, *range(len(lanes))}, key=lambda tid: (tid % _BESIDE, tid)):
        lane = lanes[tid % _BESIDE]
        name = lane.name + (f" (overlapping {tid // _BESIDE})" if tid >= _BESIDE else "")
        yield _metadata(lane.team, tid, "thread_name", {"name": name})
        yield _metadata(lane.team, tid, "thread_sort_index", {"sort_index": tid % _BESIDE * 100 + tid // _BESIDE})


def _metadata(team: int, tid: int, name: str, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "pid": team + 1, "tid": tid + 1, "name": name, "args": args}


def _slice(item: _Slice, tid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "tid": tid + 1,
        "name": item.name,
        "cat": item.kind,
        "ts": item.begin,
        "dur": item.end - item.begin,
        "args": item.args,
    }


def _instants(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for event, lane in zip(timeline.events, timeline.lanes.of, strict=True):
        if event.kind in INSTANTS:
            name = f"{event.kind} {' + '.join(map(str, event.parts))}".rstrip()
            yield {
                "ph": "i",
                "tid": lane + 1,
                "name": name,
                "cat": event.kind,
                "ts": event.begin,
                "s": "p" if event.kind == "race" else "t",
                "args": _args(event),
            }


def _flows(timeline: Timeline, slices: list[_Slice], tids: list[int]) -> Iterator[dict[str, Any]]:
    drawn: dict[tuple[int, str], int] = {}
    for position, item in enumerate(slices):
        drawn[item.event, item.kind] = position
    events = timeline.events
    for number, arrow in enumerate(timeline.arrows):
        source = drawn.get((arrow.source, _body(events[arrow.source])))
        target = drawn.get((arrow.target, _body(events[arrow.target])))
        if source is None or target is None:
            continue
        shared = {"cat": "happens-before", "name": _MEANINGS[arrow.kind], "id": number + 1}
        begin, end = _inside(slices[source], arrow.begin), _inside(slices[target], arrow.end)
        yield {"ph": "s", "tid": tids[source] + 1, "ts": begin, **shared}
        yield {"ph": "f", "bp": "e", "tid": tids[target] + 1, "ts": end, **shared}


def _body(event: Event) -> str:
    return "hold" if event.kind == "lock" else event.kind


def _inside(item: _Slice, moment: int) -> int:
    inset = min(_INSET, (item.end - item.begin) // 2)
    return min(max(moment, item.begin + inset), item.end - inset - (inset == 0))
