"""The observer that writes down what a worker does.

An event costs a few stores into the worker's file (see `records`): a place is taken when
something begins, and what comes of it is filled in there.  Nothing is computed that can be
computed when the files are read.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from time import perf_counter_ns as now
from typing import Any, Final

import numpy as np

from pydsm.array import rows_of
from pydsm.core.events import Atomic, Hold, Observer
from pydsm.trace.files import Pad, Place
from pydsm.trace.records import LISTED, PARTS_SHIFT, SITE_SHIFT, THREAD_SHIFT, WORDS, Flag, Kind
from pydsm.trace.sites import Sites

__all__ = ["Recorder"]

_NOWHERE: Final = -1
"""The place of an event that is not recorded."""
# As plain ints: operations on members of an enumeration cost more than all the rest.
_RUN, _LOCK, _PART, _BARRIER, _ATOMIC, _WAIT_UNTIL, _FENCE = map(int, Kind)
_SHARED, _FAILED, _GAVE_UP, _FENCED = map(int, Flag)


class Recorder(Observer):
    """Writes the events of the worker that this process is.

    Parameters
    ----------
    place : Place
        Where its files are.
    """

    def __init__(self, place: Place) -> None:
        self._pad = Pad(place)
        self._words = self._pad.words
        self._places = itertools.count(0, WORDS)
        self._ready = 0
        self._lost = 0
        self._open: dict[Any, list[int]] = {}
        self._barrier = self._run = _NOWHERE
        self._main = threading.get_ident()
        self._threads: dict[int, int] = {self._main: 0}
        self._ops: dict[str, int] = {}
        self._known: set[int] = set()
        self._flat: set[int] = set()
        self._lists = 0
        self._lock = threading.Lock()
        self._sites = Sites(lambda number, file, line: self._pad.remark({"site": number, "file": file, "line": line}))

    # -- the worker's function -----------------------------------------------------

    def begin(self) -> None:
        """Record that the function begins."""
        self._run = self._record(now(), _RUN)

    def end(self, *, failed: bool) -> None:
        """Record how it ended, and let go of the files."""
        if self._run >= 0:
            if failed:
                self._words[self._run + 3] |= _FAILED
            self._words[self._run + 2] = now()
        if self._lost:
            self._pad.remark({"lost": self._lost})
        # Threads that the worker leaves behind find no room, and nothing that they could complete.
        self._pad.limit = self._ready = 0
        self._open, self._barrier, self._run = {}, _NOWHERE, _NOWHERE
        self._pad.close()

    def mapped(self, root: Any, description: Any, array_id: int) -> None:
        """Tell what an array is like."""
        if root.ndim == 1:
            self._flat.add(array_id)
        self._tell(array_id, description.name, list(root.shape), str(root.dtype), rows_of(root).block)

    # -- regions and named locks ---------------------------------------------------

    def acquiring(self, holds: Sequence[Hold]) -> None:
        """Record what is asked for."""
        if not holds:
            return
        asked = now()
        place = self._ask(asked, holds[0], _LOCK, len(holds))
        if len(holds) > 1:
            for other in holds[1:]:
                self._ask(asked, other, _PART, 1)
        key = id(holds) if holds[0].array is not None else _lock_key(holds)
        if key in self._open:
            self._open[key].append(place)
        else:
            self._open[key] = [place]
        if place >= 0:
            self._words[place] = now()  # what came before was our own time, not the lock's

    def acquired(self, holds: Sequence[Hold]) -> None:
        """Record when the worker had it."""
        had = now()
        stack = self._open.get(id(holds)) or self._open.get(_lock_key(holds))
        if stack and stack[-1] >= 0:
            self._words[stack[-1] + 1] = had

    def not_acquired(self, holds: Sequence[Hold]) -> None:
        """Record that it gave up."""
        place = self._close(holds)
        if place >= 0:
            self._words[place + 3] |= _GAVE_UP
            self._words[place + 2] = now()

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        """Record that the body is through, or was left by an error."""
        stack = self._open.get(id(holds)) or self._open.get(_lock_key(holds))
        if stack and stack[-1] >= 0:
            self._words[stack[-1] + 7] = now()
            if failed:
                self._words[stack[-1] + 3] |= _FAILED

    def released(self, holds: Sequence[Hold]) -> None:
        """Record when others could have it."""
        ended = now()
        place = self._close(holds)
        if place >= 0:
            self._words[place + 2] = ended

    # -- atomic operations and fences ------------------------------------------------

    def atomic_begins(self, atomic: Atomic) -> None:
        """Record an atomic operation."""
        start, stop = self._elements(atomic)
        subject = atomic.array_id | self._op(atomic.op) << PARTS_SHIFT
        kind = _WAIT_UNTIL if atomic.op == "wait_until" else _ATOMIC
        place = self._record(now(), kind, subject, start, stop)
        self._open[id(atomic)] = [place]
        if place >= 0:
            self._words[place] = now()

    def atomic_ended(self, atomic: Atomic, *, failed: bool) -> None:
        """Record its end."""
        ended = now()
        stack = self._open.pop(id(atomic), None)
        if stack and stack[-1] >= 0:
            if failed:
                self._words[stack[-1] + 3] |= _FAILED
            self._words[stack[-1] + 2] = ended

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        """Record a fence."""
        start, stop = _interval(rows_of(array), rows) or (0, rows_of(array).span)
        self._record(now(), _FENCE, array_id, start, stop)

    # -- barriers ------------------------------------------------------------------

    def arriving(self) -> None:
        """Record that the worker has come to a barrier."""
        self._barrier = self._record(now(), _BARRIER)

    def met(self) -> None:
        """Record when all were there."""
        if self._barrier >= 0:
            self._words[self._barrier + 1] = now()

    def departed(self) -> None:
        """Record that it goes on."""
        if self._barrier >= 0:
            self._words[self._barrier + 2] = now()

    # -- what other observers tell -----------------------------------------------

    def note(self, kind: str, details: dict[str, Any]) -> None:
        """Record it as it is told."""
        time = now()
        if next(self._places) < self._pad.limit:
            what: Any = details.get(kind)
            if hasattr(what, "array") and hasattr(what, "rows"):  # a race; its rows are first and last
                details = {"array": what.array, "rows": [[what.rows[0], what.rows[1] + 1]], kind: str(what)}
            self._pad.remark({"note": kind, "time": time, "site": self._sites.here(), "details": details})
        else:
            self._lost += 1

    # -- how ---------------------------------------------------------------------

    def _record(self, time: int, kind: int, subject: int = 0, start: int = 0, stop: int = 0) -> int:
        """Write what is known of an event when it begins; return its place."""
        place = next(self._places)
        if place >= self._ready and not self._more(place):
            return _NOWHERE
        words = self._words
        words[place] = time
        words[place + 4] = subject
        words[place + 5] = start
        words[place + 6] = stop
        ident = threading.get_ident()
        if ident != self._main:
            kind |= self._thread(ident) << THREAD_SHIFT
        words[place + 3] = kind | self._sites.here() << SITE_SHIFT
        return place

    def _more(self, place: int) -> bool:
        with self._lock:
            if not self._pad.reserve(place + WORDS):
                self._lost += 1
                return False
            self._ready = self._pad.ready
            return True

    def _ask(self, time: int, hold: Hold, kind: int, parts: int) -> int:
        number = hold.array_id
        if number not in self._known:
            self._tell(number, hold.name, [], "", 1)
        array = hold.array
        interval = _interval(array._rows, hold.key) if array is not None else (0, 0)
        if hold.shared:
            kind |= _SHARED
        if hold.fence:
            kind |= _FENCED
        subject = number | parts << PARTS_SHIFT
        if interval is not None:
            return self._record(time, kind, subject, interval[0], interval[1])
        place = self._record(time, kind, subject, LISTED)
        if place >= 0:
            self._list(place, hold.rows.tolist())
        return place

    def _list(self, place: int, intervals: list[list[int]]) -> None:
        """Write rows that may be more than one interval to where a record says."""
        if len(intervals) == 1:
            self._words[place + 5], self._words[place + 6] = intervals[0]
            return
        self._lists += 1
        self._pad.remark({"rows": self._lists, "intervals": intervals})
        self._words[place + 6] = self._lists

    def _elements(self, atomic: Atomic) -> tuple[int, int]:
        """Return the positions of the first element and of the one after the last."""
        array, key = atomic.array, atomic.key
        if atomic.array_id in self._flat:  # a row is an element
            if type(key) is np.ndarray and key.dtype.kind in "iu" and len(key) and rows_of(array).step > 0:
                low, high = (_interval(rows_of(array), int(bound)) or (0, 0) for bound in (key.min(), key.max()))
                return low[0], high[1]
            interval = _interval(rows_of(array), key)
            if interval is not None:
                return interval
        elements = atomic.elements
        return (int(elements[0]), int(elements[-1]) + 1) if len(elements) else (0, 0)

    def _close(self, holds: Sequence[Hold]) -> int:
        key: Any = id(holds)
        stack = self._open.get(key)
        if stack is None:
            key = _lock_key(holds)
            stack = self._open.get(key)
        if not stack:
            return _NOWHERE
        if len(stack) == 1:
            del self._open[key]
        return stack.pop()

    def _op(self, name: str) -> int:
        number = self._ops.get(name)
        if number is None:
            number = self._ops[name] = len(self._ops) + 1
            self._pad.remark({"op": number, "name": name})
        return number

    def _thread(self, ident: int) -> int:
        number = self._threads.get(ident)
        if number is None:
            number = self._threads[ident] = len(self._threads)
            self._pad.remark({"thread": number, "name": threading.current_thread().name})
        return number

    def _tell(self, number: int, name: str, shape: list[int], dtype: str, block: int) -> None:
        self._known.add(number)
        self._pad.remark({"array": number, "name": name, "shape": shape, "dtype": dtype, "block": block})


def _lock_key(holds: Sequence[Hold]) -> Any:
    """Return what an acquire of a named lock and its release, which is told of anew, have in common."""
    return (holds[0].array_id, threading.get_ident()) if holds else None


def _interval(rows: Any, key: Any) -> tuple[int, int] | None:
    """Return the rows of the whole array that a simple key means; None for another key."""
    if type(key) is int and rows.step:
        first = rows.origin + (key + rows.count if key < 0 else key) * rows.step
        return first, first + 1
    if rows.step == 0:
        return rows.origin, rows.origin + rows.span
    if key is None or key is Ellipsis:
        key = slice(None)
    if type(key) is slice and rows.step == 1:
        start, stop, step = key.indices(rows.count)
        if step == 1:
            return rows.origin + start, rows.origin + max(start, stop)
    return None
