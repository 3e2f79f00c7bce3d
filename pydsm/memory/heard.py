"""What a worker has heard of the others: intervals it knows of, and those it has to see.

A worker that uses locks alone may never come after most of what others publish.  So of an interval that
it has not come after by the end of a synchronisation only its place in the log is kept, and it is
read again when it is asked for.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pydsm.core.clock import Clock, ClockTable, covers, join, new_clock
from pydsm.core.interval import Interval, Kind, entries_in, read_intervals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Heard"]

_PLACE: Final = 3


class Heard:
    """The log as far as a worker has read it, and the worker's clock.

    Parameters
    ----------
    rank, size : int
    fetch : callable
        Returns the bytes of this epoch's log from one place to another.

    Attributes
    ----------
    clock : Clock
        The intervals that the worker's own writes come after.
    """

    def __init__(self, rank: int, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self.clock = new_clock(size)
        self._rank, self._size = rank, size
        self._everything = new_clock(size)
        self._tables: dict[tuple[Kind, int], ClockTable] = {}
        self._published: dict[int, ClockTable] = {}  # who published which element, of arrays that atomics ask for
        self._far = [_Far(rank, fetch) for rank in range(size)]  # nothing says that this worker has to see it

    def read(self, content: bytes, place: int) -> None:
        """Take note of new entries of the log, which are at this place of it."""
        entries = entries_in(content, but=self._rank)
        for (start, stop), interval in zip(entries, read_intervals(content, but=self._rank), strict=True):
            join(self._everything, interval.clock)
            for given in interval.passes:
                self._table(given.kind, given.array_id).release(given.which, interval.clock)
            if interval.number:
                self._far[interval.rank].append(interval, place + start, place + stop)
            for array_id in self._published.keys() & interval.diffs.keys():
                self._published[array_id].release(interval.diffs[array_id].positions, interval.clock)

    # -- who comes before this worker --------------------------------------------

    def acquire(self, array_id: int, stripes: NDArray[np.int64], *, shared: bool) -> None:
        """Come after all who released the stripes: exclusively, or in any way if this is exclusive."""
        self._join(Kind.EXCLUSIVE, array_id, lambda table: table.heard(stripes))
        if not shared:
            self._join(Kind.SHARED, array_id, lambda table: table.heard(stripes))

    def knows_atomics(self, array_id: int) -> bool:
        """Say whether another worker has done any on the array in this epoch."""
        return (Kind.ATOMIC, array_id) in self._tables

    def see_atomics(self, array_id: int, start: int, stop: int) -> None:
        """Come after the atomic operations on a range of elements."""
        self._join(Kind.ATOMIC, array_id, lambda table: table.heard_in(start, stop))

    def see_elements(self, array_id: int, elements: NDArray[np.int64]) -> None:
        """Come after whoever published the elements, or left them in an atomic operation."""
        self._join(Kind.ATOMIC, array_id, lambda table: table.heard(elements))
        if array_id not in self._published:
            self._published[array_id] = self._publishers(array_id)
        join(self.clock, self._published[array_id].heard(elements))

    def _publishers(self, array_id: int) -> ClockTable:
        table = ClockTable(len(self.clock))
        for intervals in self._far:
            for interval in intervals:
                if array_id in interval.diffs:
                    table.release(interval.diffs[array_id].positions, interval.clock)
        return table

    def see_everything(self) -> None:
        """Come after all that has been published."""
        join(self.clock, self._everything)

    def _join(self, kind: Kind, array_id: int, ask: Callable[[ClockTable], Clock]) -> None:
        table = self._tables.get((kind, array_id))
        if table is not None:
            join(self.clock, ask(table))

    def _table(self, kind: Kind, array_id: int) -> ClockTable:
        table = self._tables.get((kind, array_id))
        if table is None:
            table = self._tables[kind, array_id] = ClockTable(len(self.clock))
        return table

    # -- what it has to see ------------------------------------------------------

    def newly_covered(self) -> list[Interval]:
        """Return intervals that come before this worker now and did not when this was asked last, in order."""
        near: list[Interval] = []
        for intervals in self._far:
            near += intervals.pop_covered(self.clock)
        near.sort(key=lambda interval: interval.order)
        return near

    def next_epoch(self) -> None:
        """Forget what nobody asks for any more, because all have come after it."""
        self._tables.clear()
        self._published.clear()
        for intervals in self._far:
            intervals.clear()


class _Far:
    """Intervals of one worker, in their order: the latest as they are, of the others the place in the log."""

    def __init__(self, rank: int, fetch: Callable[[int, int], bytes]) -> None:
        self._rank, self._fetch = rank, fetch
        self._places = array("q")  # number, start and stop of each
        self._first = 0  # those before are not asked for any more
        self._latest: deque[tuple[Interval, int, int]] = deque()

    def append(self, interval: Interval, start: int, stop: int) -> None:
        self._latest.append((interval, start, stop))

    def __iter__(self) -> Iterator[Interval]:
        for place in range(self._first, len(self._places), _PLACE):
            yield self._read(place)
        for interval, _, _ in self._latest:
            yield interval

    def pop_covered(self, clock: Clock) -> Iterator[Interval]:
        """Yield the intervals that the clock covers, and keep the others by their places."""
        while self._first < len(self._places) and covers(clock, self._rank, self._places[self._first]):
            yield self._read(self._first)
            self._first += _PLACE
        if 2 * self._first > len(self._places):
            del self._places[: self._first]
            self._first = 0
        while self._latest:
            interval, start, stop = self._latest.popleft()
            if covers(clock, self._rank, interval.number):
                yield interval
            else:
                self._places.extend((interval.number, start, stop))

    def clear(self) -> None:
        del self._places[:]
        self._first = 0
        self._latest.clear()

    def _read(self, place: int) -> Interval:
        _, start, stop = self._places[place : place + _PLACE]
        return next(read_intervals(self._fetch(start, stop)))
