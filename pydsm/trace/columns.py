"""What the page is given: events as columns of small numbers, and lists that they count in.

A hundred thousand events are some four megabytes this way, and are read by a browser in a
fraction of a second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydsm.trace.events import NOTICEABLE, ArrayInfo, Part

if TYPE_CHECKING:
    from pydsm.trace.timeline import Timeline

__all__ = ["columns_of"]

_Item = TypeVar("_Item", bound=Hashable)


class _List(Generic[_Item]):
    """Different things in the order in which they were first seen."""

    def __init__(self, first: Iterable[_Item] = ()) -> None:
        self._places: dict[_Item, int] = {item: place for place, item in enumerate(first)}

    def place(self, item: _Item) -> int:
        return self._places.setdefault(item, len(self._places))

    def __iter__(self) -> Any:
        return iter(self._places)


def columns_of(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as JSON can have it."""
    events, lanes, arrows, runs = timeline.events, timeline.lanes, timeline.arrows, timeline.runs
    kinds, words = _List[str](), _List[str]([""])
    arrays, parts = _List[tuple[int, str]](), _List[tuple[int, tuple[Part, ...]]]()
    parts.place((0, ()))
    names = ("lane", "depth", "kind", "run", "begin", "had", "end", "parts", "what", "where", "outcome")
    rows: dict[str, list[int]] = {name: [] for name in names}
    details: dict[int, Any] = {}
    before = 0
    for index, event in enumerate(events):
        team = runs[event.run].team
        row = (
            lanes.of[index],
            lanes.depth[index],
            kinds.place(event.kind),
            event.run,
            event.begin - before,
            event.had - event.begin,
            event.end - event.begin,
            parts.place((team, event.parts)) if event.parts else 0,
            words.place(event.what),
            words.place(event.where),
            words.place(event.outcome),
        )
        before = event.begin
        for column, value in zip(rows.values(), row, strict=True):
            column.append(value)
        if event.details is not None:
            details[index] = event.details
    parts_listed = [[_part(arrays, team, part) for part in group] for team, group in parts]
    return {
        "title": timeline.title,
        "noticeable": NOTICEABLE,
        "teams": timeline.teams,
        "runs": [run._asdict() | {"arrays": None} for run in runs],
        "lanes": [
            {**lane._asdict(), "name": lane.name, "height": height}
            for lane, height in zip(lanes.all, lanes.heights(), strict=True)
        ],
        "kinds": list(kinds),
        "words": list(words),
        "parts": parts_listed,
        "arrays": [{"team": team, "name": name, **_info(timeline, team, name)} for team, name in arrays],
        "events": rows,
        "details": details,
        "arrows": {
            "kind": [arrow.kind for arrow in arrows],
            "source": [arrow.source for arrow in arrows],
            "target": [arrow.target for arrow in arrows],
            "begin": [arrow.begin for arrow in arrows],
            "end": [arrow.end for arrow in arrows],
        },
        "summary": _summary(timeline),
    }


def _part(arrays: _List[tuple[int, str]], team: int, part: Part) -> list[Any]:
    """Return an array's number, whether it was shared, and the rows' bounds one after the other."""
    return [arrays.place((team, part.array)), int(part.shared), *(bound for span in part.rows for bound in span)]


def _info(timeline: Timeline, team: int, name: str) -> dict[str, Any]:
    info = ArrayInfo(name, (), "", 1)
    for run in timeline.runs:
        if run.team == team:
            info = run.arrays.get(name, info)
    return {"shape": info.shape, "dtype": info.dtype, "block": info.block}


def _summary(timeline: Timeline) -> dict[str, Any]:
    summary = timeline.summary()
    return {
        "workers": [
            {
                "team": worker.team,
                "rank": worker.rank,
                "shares": list(worker.shares),
                "events": worker.events,
                "lost": worker.lost,
                "died": worker.died,
            }
            for worker in summary.workers
        ],
        "rows": [{**row._asdict(), "name": str(row)} for row in summary.rows],
        "waits": summary.waits,
        "races": summary.races,
    }
