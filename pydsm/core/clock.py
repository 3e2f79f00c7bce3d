"""Vector clocks: which intervals of whom a worker has heard of.

A worker's program is cut into *intervals* by its releases.  A clock has a number for each
worker, the last of its intervals that is known, so one interval *happens before* another exactly
if the other's clock covers it (Mattern 1989; Fidge 1988; lazy release consistency: Keleher,
Cox and Zwaenepoel 1992).

The last component is a Lamport clock (1978), one more than that of everything before.  Ordered by
it, and among equals by rank, intervals stand in one line that contradicts no happens-before:
where writes race, that line decides the same way for all, in every run in which the workers
synchronise in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Clock = NDArray[np.int64]
else:
    Clock = np.ndarray

__all__ = ["Clock", "ClockTable", "covers", "join", "new_clock", "order", "tick"]


def new_clock(size: int) -> Clock:
    """Return the clock of a worker of `size` that has heard of nothing.

    Examples
    --------
    >>> clock = new_clock(2)
    >>> tick(clock, 1)
    >>> clock.tolist(), covers(clock, 1, 1), covers(clock, 0, 1)
    ([0, 1, 1], True, False)
    """
    return np.zeros(size + 1, np.int64)


def tick(clock: Clock, rank: int) -> None:
    """Begin the worker's next interval."""
    clock[rank] += 1
    clock[-1] += 1


def join(clock: Clock, other: Clock) -> None:
    """Hear of all that another clock has heard of."""
    np.maximum(clock, other, out=clock)


def covers(clock: Clock, rank: int, number: int) -> bool:
    """Say whether a clock has heard of a worker's interval."""
    return bool(clock[rank] >= number)


def order(clock: Clock, rank: int) -> tuple[int, int]:
    """Return the place of a worker's interval in the line of all."""
    return int(clock[-1]), rank


class ClockTable:
    """What the last releases of numbered things (stripes, elements) had heard of.

    Examples
    --------
    >>> import numpy as np
    >>> table = ClockTable(width=3)
    >>> table.release(np.array([2, 5]), np.array([1, 0, 1]))
    >>> table.heard(np.array([4, 5])).tolist(), table.heard(np.array([9])).tolist()
    ([1, 0, 1], [0, 0, 0])
    """

    def __init__(self, width: int) -> None:
        self._clocks = np.zeros((0, width), np.int64)

    def release(self, which: NDArray[np.int64], clock: Clock) -> None:
        """Let things pass on a clock, besides those that they pass on already."""
        if len(which):
            self._grow(int(which[-1]) + 1)
            self._clocks[which] = np.maximum(self._clocks[which], clock)

    def heard(self, which: NDArray[np.int64]) -> Clock:
        """Return what the things, in ascending order, pass on."""
        known = which[: np.searchsorted(which, len(self._clocks))]
        heard: Clock = self._clocks[known].max(axis=0, initial=0)
        return heard

    def heard_in(self, start: int, stop: int) -> Clock:
        """Return what the things of a range pass on."""
        heard: Clock = self._clocks[start:stop].max(axis=0, initial=0)
        return heard

    def _grow(self, count: int) -> None:
        before = len(self._clocks)
        if count > before:
            grown = np.zeros((max(count, 2 * before), self._clocks.shape[1]), np.int64)  # touched as it is used
            grown[:before] = self._clocks
            self._clocks = grown
