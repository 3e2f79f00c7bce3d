"""From what the workers of one run wrote to events, all on one clock."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, Final

from pydsm.trace.events import ArrayInfo, Event, Part
from pydsm.trace.records import KIND_BITS, LISTED, PARTS_SHIFT, SITE_SHIFT, THREAD_SHIFT, Flag, Kind

__all__ = ["Sheet"]

_KIND: Final = (1 << KIND_BITS) - 1
_LOW: Final = (1 << PARTS_SHIFT) - 1
_THREADS: Final = (1 << SITE_SHIFT - THREAD_SHIFT) - 1
# As plain ints: operations on members of an enumeration are slow.
_RUN, _LOCK, _PART, _BARRIER, _ATOMIC, _WAIT_UNTIL, _FENCE = map(int, Kind)
_SHARED, _FAILED, _GAVE_UP, _FENCED = map(int, Flag)


class Sheet:
    """What one worker wrote in one run.

    Parameters
    ----------
    run, rank : int
    records : list of list of int
        As `records` says.
    remarks : list of dict
    died : int or None
        When its death was noticed.
    over : int
        When the run was over: the end of what has none.
    """

    def __init__(
        self, run: int, rank: int, records: list[list[int]], remarks: list[dict[str, Any]], died: int | None, over: int
    ) -> None:
        self.run, self.rank, self.died = run, rank, died
        self._records, self._over = records, over if died is None else died
        self._origin = 0
        self._lists: dict[int, Any] = {}
        self._ops: dict[int, str] = {}
        self._sites: dict[int, str] = {0: ""}
        self._arrays: dict[int, ArrayInfo] = {}
        self._notes: list[dict[str, Any]] = []
        self.threads: dict[int, str] = {}
        self.lost = 0
        for remark in remarks:
            self._read(remark)

    def _read(self, remark: dict[str, Any]) -> None:
        match remark:
            case {"note": _}:
                self._notes.append(remark)
            case {"rows": number, "intervals": intervals}:
                self._lists[number] = tuple((start, stop) for start, stop in intervals)
            case {"op": number, "name": name}:
                self._ops[number] = name
            case {"site": number, "file": file, "line": line}:
                self._sites[number] = f"{_short(file)}:{line}"
            case {"thread": number, "name": name}:
                self.threads[number] = name
            case {"array": number, "name": name, "shape": shape, "dtype": dtype, "block": block}:
                if shape or number not in self._arrays:
                    self._arrays[number] = ArrayInfo(name, tuple(shape), dtype, block)
            case {"lost": lost}:
                self.lost = lost

    @property
    def arrays(self) -> dict[str, ArrayInfo]:
        """The arrays and locks that it told of, by name."""
        return {info.name: info for info in self._arrays.values()}

    def events(self, origin: int) -> Iterator[Event]:
        """Yield what it did, in no order, in nanoseconds since `origin`."""
        self._origin = origin
        records = iter(self._records)
        for record in records:
            kind = record[3] & _KIND
            if kind == _LOCK:
                others = [next(records) for _ in range((record[4] >> PARTS_SHIFT) - 1)]
                yield self._lock(record, others)
            elif kind != _PART:  # a part whose first record had no room is no event
                yield self._other(kind, record)
        for note in self._notes:
            yield self._note(note)
        if self.died is not None:
            died = self.died - origin
            yield Event("death", self.run, self.rank, 0, died, died, died)

    def _lock(self, record: list[int], others: list[list[int]]) -> Event:
        asked, had, released, head = record[:4]
        end = record[7] or released  # from the release on, others may have it
        outcome = "failed" if head & _FAILED else "gave up" if head & _GAVE_UP else ""
        if not end:
            end, outcome = max(self._over, asked, had), "unfinished"
        parts = tuple(self._part(each) for each in (record, *others) if each[3] & _KIND)
        return self._event("lock", record, had or end, end, parts, outcome=outcome)

    def _other(self, kind: int, record: list[int]) -> Event:
        begin, met, end, head = record[:4]
        outcome = "failed" if head & _FAILED else ""
        if kind == _FENCE:
            return self._event("fence", record, begin, begin, (self._part(record),))
        if not end:  # it was in the middle of this when it died, or an error threw it out
            lived_on = kind == _BARRIER and self.died is None
            end, outcome = max(self._over, begin, met), "failed" if lived_on else "unfinished"
        if kind == _BARRIER:
            return self._event("barrier", record, met or end, end, outcome=outcome)
        if kind == _RUN:
            return self._event("run", record, begin, end, outcome=outcome)
        part = Part(self._info(record).name, self._rows_of_elements(record))
        had = end if kind == _WAIT_UNTIL else begin
        op = self._ops.get(record[4] >> PARTS_SHIFT, "")
        elements = record[5], record[6]
        return self._event(
            "wait_until" if kind == _WAIT_UNTIL else "atomic",
            record,
            had,
            end,
            (part,),
            outcome=outcome,
            what=op,
            elements=elements,
        )

    def _note(self, note: dict[str, Any]) -> Event:
        details, time = note["details"], note["time"]
        parts: tuple[Part, ...] = ()
        if isinstance(details, dict) and isinstance(details.get("array"), str):
            rows = details.get("rows")
            intervals = tuple((int(start), int(stop)) for start, stop in rows) if isinstance(rows, list) else ()
            parts = (Part(details["array"], intervals),)
        where, time = self._sites.get(note["site"], ""), time - self._origin
        return Event(note["note"], self.run, self.rank, 0, time, time, time, parts, where=where, details=details)

    def _event(
        self,
        name: str,
        record: list[int],
        had: int,
        end: int,
        parts: tuple[Part, ...] = (),
        *,
        elements: tuple[int, int] = (0, 0),
        what: str = "",
        outcome: str = "",
    ) -> Event:
        head = record[3]
        thread = head >> THREAD_SHIFT & _THREADS
        where = self._sites.get(head >> SITE_SHIFT, "")
        begin, had, end = (time - self._origin for time in (record[0], had, end))
        return Event(name, self.run, self.rank, thread, begin, had, end, parts, elements, what, where, outcome)

    def _part(self, record: list[int]) -> Part:
        info, start, stop = self._info(record), record[5], record[6]
        rows: tuple[tuple[int, int], ...] = ((start, stop),) if info.shape and stop > start else ()
        if start == LISTED:
            rows = self._lists.get(stop, ())
        return Part(info.name, rows, bool(record[3] & _SHARED))

    def _rows_of_elements(self, record: list[int]) -> tuple[tuple[int, int], ...]:
        width = math.prod(self._info(record).shape[1:]) or 1
        start, stop = record[5], record[6]
        return ((start // width, -(-stop // width)),) if stop > start else ()

    def _info(self, record: list[int]) -> ArrayInfo:
        number = record[4] & _LOW
        return self._arrays.get(number) or ArrayInfo(f"array {number}", (), "", 1)


def _short(file: str) -> str:
    """Return a path as from here, if it is in here."""
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return file if relative.startswith(os.pardir) else relative
