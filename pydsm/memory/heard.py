"""What a worker has heard of the others: intervals it knows of, and those it has to see."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydsm.core.clock import Clock, ClockTable, covers, join, new_clock
from pydsm.core.interval import Interval, Kind, read_intervals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Heard"]


class Heard:
    """The log as far as a worker has read it, and the worker's clock.

    Attributes
    ----------
    clock : Clock
        The intervals that the worker's own writes come after.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.clock = new_clock(size)
        self._rank, self._size = rank, size
        self._everything = new_clock(size)
        self._tables: dict[tuple[Kind, int], ClockTable] = {}
        self._published: dict[int, ClockTable] = {}  # who published which element, of arrays that atomics ask for
        self._far: list[deque[Interval]] = [deque() for _ in range(size)]  # nothing says that this worker has to see it

    def read(self, content: bytes) -> None:
        """Take note of new entries of the log."""
        for interval in read_intervals(content, but=self._rank):
            join(self._everything, interval.clock)
            for given in interval.passes:
                self._table(given.kind, given.array_id).release(given.which, interval.clock)
            if interval.number:
                self._far[interval.rank].append(interval)
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
        near = []
        for intervals in self._far:
            while intervals and covers(self.clock, intervals[0].rank, intervals[0].number):
                near.append(intervals.popleft())
        near.sort(key=lambda interval: interval.order)
        return near

    def next_epoch(self) -> None:
        """Forget what nobody asks for any more, because all have come after it."""
        self._tables.clear()
        self._published.clear()
        for intervals in self._far:
            intervals.clear()
