"""Which parts of a lazily made segment exist: those that somebody has touched.

A file of shared memory that was never written is a hole: it takes no memory, and reading it through a mapping gives
it some.  So who compares a large array with its twin must not look where nothing is.  The file system says where
that is (``SEEK_DATA``, ``SEEK_HOLE``), without touching it.

What exists stays, as nobody punches holes.  So what was found is kept, and only what was a hole is asked for again:
looking costs in proportion to what has been touched, and next to nothing where everything has.
"""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from pydsm.core.diff import Spans
from pydsm.ipc import shm

__all__ = ["SMALL", "Committed", "promised"]

SMALL: Final = 1 << 20
"""Bytes of an array that is not worth a question: it is made with all its memory."""
_FEW: Final = 1 << 16
"""Bytes that are compared faster than asked for."""


class Committed:
    """The parts of one segment that exist.

    Parameters
    ----------
    name : str
        Of its file.
    nbytes : int
        Of its elements, which are at the beginning.
    itemsize : int
        Bytes of what ranges are counted in: an element, or a stripe.
    """

    def __init__(self, name: str, nbytes: int, itemsize: int, *, shared: bool = False) -> None:
        self._nbytes, self._itemsize = nbytes, itemsize
        self._guard = threading.Lock()
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._file = shm.open_checked(name, readonly=True, shared=shared)
        weakref.finalize(self, os.close, self._file)

    def within(self, spans: Spans | None) -> Spans:
        """Return the parts of ranges (None: of everything) that exist, as such ranges."""
        size = self._itemsize
        if spans is None:
            spans = [(0, -(-self._nbytes // size))]
        elif sum(stop - start for start, stop in spans) * size <= _FEW:
            return spans
        found: list[tuple[int, int]] = []
        with self._guard:
            for start, stop in spans:
                for first, last in self._parts(start * size, stop * size):
                    begin, end = max(start, first // size), min(stop, -(-last // size))  # elements may lie on an edge
                    if found and found[-1][1] >= begin and found[-1][0] >= start:
                        found[-1] = found[-1][0], end
                    else:
                        found.append((begin, end))
        return found

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a range of bytes that exist."""
        stop = min(stop, self._nbytes)
        while start < stop:
            place = bisect_right(self._starts, start) - 1
            if place < 0 or self._stops[place] <= start:
                start, end = self._ask(start, place)
            else:
                end = self._stops[place]
            if start >= stop:
                return
            yield start, min(end, stop)
            start = end

    def _ask(self, start: int, place: int) -> tuple[int, int]:
        """Return the next part that exists at or behind a hole, and keep it; `place` is that of the part before."""
        known = self._starts[place + 1] if place + 1 < len(self._starts) else self._nbytes
        try:
            found = os.lseek(self._file, start, os.SEEK_DATA)
        except OSError:  # there is no more
            found = self._nbytes
        if found >= known:
            return known, self._stops[place + 1] if place + 1 < len(self._stops) else known
        end = min(os.lseek(self._file, found, os.SEEK_HOLE), self._nbytes)
        upto = bisect_right(self._starts, end)
        if upto > place + 1:
            end = max(end, self._stops[upto - 1])
        if place >= 0 and self._stops[place] == found:  # it has grown
            found, first = self._starts[place], place
        else:
            first = place + 1
        self._starts[first:upto] = [found]
        self._stops[first:upto] = [end]
        return max(found, start), end


def promised(files: Iterable[str]) -> int:
    """Return how many bytes segments may still take that they have not taken yet."""
    left = 0
    for name in files:
        try:
            file = shm.status(name)
        except FileNotFoundError:
            continue
        left += max(0, file.st_size - 512 * file.st_blocks)
    return left
