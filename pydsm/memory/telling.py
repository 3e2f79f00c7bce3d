"""Telling other observers of a worker what its memory moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import Observer, observers

if TYPE_CHECKING:
    from pydsm.core.diff import Diff
    from pydsm.core.interval import Interval
    from pydsm.memory.replica import Replica

__all__ = ["tell"]

_SHOWN: Final = 64


def tell(kind: str, teller: Observer, replica: Replica, diff: Diff, interval: Interval) -> None:
    """Tell of a ``"push"`` of this worker's writes, or of a ``"pull"`` of another's.

    The details are the array's name, the rows as half-open intervals, the number of
    elements, the rank and number of the interval and its clock, and the whole replica as
    nested lists if it is small, else None.
    """
    chain = [observer for observer in observers() if observer is not teller]
    if not chain:
        return
    details: dict[str, Any] = {
        "array": replica.name,
        "rows": _intervals(diff.positions // replica.elements_of_row),
        "elements": len(diff),
        "rank": interval.rank,
        "interval": interval.number,
        "clock": interval.clock[:-1].tolist(),
        "values": replica.peek() if replica.size <= _SHOWN else None,
    }
    for observer in chain:
        observer.note(kind, details)


def _intervals(rows: Any) -> list[list[int]]:
    """Return ascending rows as half-open intervals."""
    exact = np.unique(rows)
    edges = np.flatnonzero(np.diff(exact, prepend=-2) != 1)
    ends = np.append(edges[1:], len(exact)) - 1
    return [[int(exact[first]), int(exact[last]) + 1] for first, last in zip(edges, ends, strict=True)]
