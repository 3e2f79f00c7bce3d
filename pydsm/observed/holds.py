"""What observers are told of: rows that are held, locks, atomic operations, and where these are in the array."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.array import GlobalArray, root_of, rows_of
from pydsm.core.place import address_of
from pydsm.core.region import RowKey, intervals_of, move
from pydsm.native import Region
from pydsm.sync.locktable import LockTable

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["ElementAtomic", "LockHold", "RegionHold"]

_NOTHING: Final = np.zeros((0, 2), np.intp)
_ONLY: Final = np.zeros(1, np.intp)


class RegionHold:
    """Rows of one array as a region has them; see `Hold`."""

    __slots__ = (
        *("__weakref__", "array", "array_id", "fence", "key", "name"),
        *("recover", "region", "shared", "table", "undo"),
    )

    def __init__(self, array: GlobalArray, region: Region, *, fence: bool, undo: bool, recover: bool) -> None:
        table: LockTable = region.locks.policy
        self.table = table
        self.array, self.region, self.key = array, region, region.key
        self.name, self.array_id = table.name, table.array_id
        self.shared, self.fence, self.undo, self.recover = region.shared, fence, undo, recover

    @property
    def stripes(self) -> NDArray[Any]:
        """Ascending numbers of the stripes."""
        return self.region.stripes()

    @property
    def rows(self) -> NDArray[Any]:
        """Rows of the whole array, as intervals."""
        return rows_in(self.array, self.key)


class LockHold:
    """A named lock that is held; see `Hold`."""

    __slots__ = (
        *("array", "array_id", "deadline", "fence", "key", "name"),
        *("recover", "rows", "shared", "stripes", "table", "undo"),
    )

    def __init__(self, table: LockTable, *, recover: bool = False, deadline: float | None = None) -> None:
        self.table, self.deadline = table, deadline
        self.name, self.array_id = table.name, table.array_id
        self.array, self.key = None, None
        self.shared, self.fence, self.undo, self.recover = False, False, False, recover
        self.rows, self.stripes = _NOTHING, _ONLY


class ElementAtomic:
    """An atomic operation of one array; see `Atomic`."""

    __slots__ = ("array", "array_id", "key", "name", "op", "writes")

    def __init__(self, array: GlobalArray, op: str, key: Any) -> None:
        table = array._table
        self.array, self.op, self.key = array, op, key
        self.name, self.array_id = table.name, table.array_id
        self.writes = op not in ("load_acquire", "wait_until")

    @property
    def elements(self) -> NDArray[Any]:
        """Positions in the flattened whole array; none if there are no such elements, which the operation says."""
        try:
            return elements_of(self.array, self.key, rows=self.op == "accumulate")
        except (IndexError, TypeError, ValueError):
            return _ONLY[:0]


def rows_in(array: GlobalArray, key: RowKey) -> NDArray[Any]:
    """Return which rows of the whole array the rows of an array or a view are."""
    rows = rows_of(array)
    if type(key) is int and rows.step and -rows.count <= key < rows.count:  # the commonest case, and the fastest
        first = rows.origin + key % rows.count * rows.step
        return np.array([[first, first + 1]])
    intervals = intervals_of(key, rows.count, array.name or "")
    if len(intervals) == 0:
        return _NOTHING
    if rows.step == 0:
        return np.array([[rows.origin, rows.origin + rows.span]])[: min(1, rows.span)]
    return move(intervals, rows.origin, rows.step)


def elements_of(array: GlobalArray, key: Any, *, rows: bool) -> NDArray[Any]:
    """Return the positions of an element, or of all elements of rows, in the flattened whole array."""
    root = root_of(array)
    if rows:
        which = np.arange(len(array))[slice(None) if key is None or key is Ellipsis else key] if array.ndim else [0]
        index = [np.unique(which), *map(np.arange, array.shape[1:])][: array.ndim]
        grid: Sequence[Any] = np.meshgrid(*index, indexing="ij") if index else []
    else:
        grid = _place(array, key)
    offsets = sum((axis * stride for axis, stride in zip(grid, array.strides, strict=True)), np.zeros((), np.intp))
    positions = (address_of(array) - address_of(root) + offsets) // root.itemsize
    return np.unique(np.atleast_1d(positions).astype(np.intp))


def _place(array: GlobalArray, key: Any) -> list[int]:
    index = key if isinstance(key, tuple) else (key,)
    return [range(count)[operator.index(place)] for place, count in zip(index, array.shape, strict=True)]
