"""Which rows are meant: an index of axis 0 as sorted, merged, half-open intervals.

An interval array has shape (k, 2) and dtype intp; row r lies in it if
``start <= r < stop`` for one of its lines.  Lines ascend and neither touch nor overlap.
"""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Intervals", "RowKey", "count_rows", "intervals_of", "merge", "move"]

Intervals: TypeAlias = "NDArray[np.intp]"
RowKey: TypeAlias = "int | slice | ArrayLike | EllipsisType | None"

_NOTHING = np.empty((0, 2), np.intp)


def intervals_of(key: Any, count: int, name: str = "") -> Intervals:
    """Read `key` as numpy would read it on an axis of `count` rows.

    Parameters
    ----------
    key : int, slice, sequence of int, boolean mask, None or ...
        None and ``...`` mean all rows; negative ints count from the end.
    count : int
        Rows of the array.
    name : str
        Named in errors.

    Returns
    -------
    ndarray of intp, shape (k, 2)

    Raises
    ------
    IndexError
        A row is out of range, or a mask has another length.
    TypeError
        Not an index of rows: a float, a tuple, a bool, a 2-D list.

    Examples
    --------
    >>> intervals_of([5, 1, 2, -1], 10).tolist()
    [[1, 3], [5, 6], [9, 10]]
    """
    if key is None or key is Ellipsis:
        return _interval(0, count)
    if isinstance(key, slice):
        return _of_range(range(*key.indices(count)))
    if isinstance(key, (bool, np.bool_, tuple, str, bytes)):
        raise _not_rows(key)
    if not isinstance(key, (list, np.ndarray, range)):
        try:
            row = operator.index(key)
        except TypeError:
            raise _not_rows(key) from None
        return _of_rows(np.array([row], np.intp), count, name)
    rows = np.array(key)  # a copy: what is looked at here may be others' to write
    if rows.size == 0 and rows.ndim == 1 and rows.dtype != bool:
        return _NOTHING
    if rows.dtype == bool:
        return _of_mask(rows, count, name)
    if rows.dtype.kind not in "iu" or rows.ndim > 1:
        raise _not_rows(key)
    return _of_rows(rows.reshape(-1), count, name)


def count_rows(intervals: Intervals) -> int:
    """Return how many rows the intervals hold."""
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def merge(intervals: Intervals) -> Intervals:
    """Sort the intervals and join those that touch or overlap."""
    if len(intervals) < 2:
        return intervals
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate(([True], ordered[1:, 0] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.stack((ordered[first, 0], reach[last]), axis=1)


def move(intervals: Intervals, origin: int, step: int) -> Intervals:
    """Return where the rows lie if row r is row ``origin + r * step`` of another array."""
    if step == 1:
        return intervals + origin
    rows = np.concatenate([np.arange(a, b) for a, b in intervals] or [np.empty(0, np.intp)])
    return _from_sorted(np.sort(origin + rows * step))


def _interval(start: int, stop: int) -> Intervals:
    return np.array([[start, stop]], np.intp) if stop > start else _NOTHING


def _of_range(rows: range) -> Intervals:
    if not rows:
        return _NOTHING
    if rows.step < 0:
        rows = rows[::-1]
    if rows.step == 1:
        return _interval(rows.start, rows.stop)
    starts = np.arange(rows.start, rows.stop, rows.step, dtype=np.intp)
    return np.stack((starts, starts + 1), axis=1)


def _of_mask(mask: NDArray[np.bool_], count: int, name: str) -> Intervals:
    if mask.ndim != 1 or len(mask) != count:
        raise IndexError(f"mask of shape {mask.shape} does not fit array {name!r} with {count} rows")
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return edges.reshape(-1, 2).astype(np.intp)


def _of_rows(rows: NDArray[Any], count: int, name: str) -> Intervals:
    bad = (rows >= count) | (rows < -count)
    if bad.any():
        raise IndexError(f"row {rows[bad][0]} is out of range for array {name!r} with {count} rows")
    rows = rows.astype(np.intp)
    return _from_sorted(np.sort(np.where(rows < 0, rows + count, rows), axis=None))


def _from_sorted(rows: NDArray[np.intp]) -> Intervals:
    """Make intervals of rows that ascend, maybe with repeats (`np.unique` imports numpy.ma: ten milliseconds)."""
    if rows.size == 0:
        return _NOTHING
    gaps = np.flatnonzero(np.diff(rows) > 1)
    starts = rows[np.concatenate(([0], gaps + 1))]
    stops = rows[np.concatenate((gaps, [rows.size - 1]))] + 1
    return np.stack((starts, stops), axis=1)


def _not_rows(key: object) -> TypeError:
    kind = f"an array of {key.dtype}" if isinstance(key, np.ndarray) else f"{key!r}"
    return TypeError(f"rows are an int, a slice, a list or array of ints, a mask, None or ..., not {kind}")
