"""Elements that a worker is updating with ``undo=True``: nobody is shown half of an update.

What a worker publishes goes to all, so nobody could put it back after a death.  So a region with
``undo=True`` publishes its elements when it is left, as a whole, and no synchronisation
inside it does: others may not look at them before, and a death leaves what was there at the
entry.  An element that the worker updates atomically meanwhile is published all the same:
others may update it at the same time, and neither must lose what the other did.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.core.diff import Diff, positions_in, unit_of
from pydsm.core.events import Hold
from pydsm.core.place import address_of
from pydsm.core.region import intervals_of
from pydsm.memory.scope import root_of_hold, spans_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Withheld"]


class Withheld:
    """The elements of all regions with ``undo=True`` that the threads of a worker are in."""

    def __init__(self) -> None:
        # A region that is dropped without being left is in no update any more.
        self._parts: weakref.WeakKeyDictionary[Hold, _Part] = weakref.WeakKeyDictionary()
        self._entering = _Entering()

    def wait(self) -> None:
        """Remember that this thread asks for rows and does not have them."""
        self._entering.done = False

    def add(self, holds: Sequence[Hold]) -> None:
        """Withhold the elements of regions that this thread is about to update."""
        self._parts.update({hold: _Part(hold) for hold in holds})
        self._entering.done = True

    def give_up(self, holds: Sequence[Hold]) -> None:
        """Do so no more, if this thread got so far."""
        if self._entering.done:
            self._entering.done = False
            self.remove(holds)

    def remove(self, holds: Sequence[Hold]) -> None:
        """Do so no more: the update is through."""
        for hold in holds:
            if hold.undo:
                self._parts.pop(hold, None)

    def without(self, array_id: int, diff: Diff, shown: NDArray[np.int64] | None) -> Diff:
        """Return what of an array's diff may be published; the elements `shown` may in any case."""
        if not self._parts or not len(diff):
            return diff
        kept = np.zeros(len(diff), bool)
        for part in list(self._parts.values()):
            if part.array_id == array_id:
                kept |= part.has(diff.positions)
        if shown is not None:
            kept &= ~np.isin(diff.positions, shown)
        return diff.where(~kept) if kept.any() else diff


class _Entering(threading.local):
    """Whether the thread's last acquire has got as far as withholding."""

    done = False


class _Part:
    """The elements of one region: exactly those that an undo puts back."""

    def __init__(self, hold: Hold) -> None:
        self.array_id = hold.array_id
        view, root = hold.array, root_of_hold(hold)
        whole = view.shape[1:] == root.shape[1:] and view.strides[1:] == root.strides[1:]
        if view.ndim == 0 or view.itemsize > root.itemsize or (whole and view.itemsize == root.itemsize):
            self._spans, self._positions = spans_of(hold).tolist(), None
        else:
            self._spans, self._positions = [], _positions(hold, view, root)

    def has(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        if self._positions is not None:
            return np.isin(positions, self._positions)
        return positions_in(positions, self._spans)


def _positions(hold: Hold, view: Any, root: Any) -> NDArray[np.int64]:
    """Return where the elements of a view's rows are in the flattened whole array."""
    runs = intervals_of(hold.key, len(view), hold.name)
    rows = np.concatenate([np.arange(start, stop) for start, stop in runs.tolist()] or [runs.reshape(-1)])
    axes = [rows, *map(np.arange, view.shape[1:])]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    offsets = sum((axis * stride for axis, stride in zip(grid, view.strides, strict=True)), np.zeros((), np.int64))
    unit = unit_of(root.dtype)
    places: NDArray[np.int64] = (address_of(view) - address_of(root) + offsets).reshape(-1, 1) // unit
    return (places + np.arange(max(1, view.itemsize // unit))).reshape(-1)
