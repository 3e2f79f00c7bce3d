"""Rows that are copied in bulk: which elements of the whole array they are, and cut into pieces.

A *piece* has its home on one node and takes a message.  It is a run of elements, or rows of the whole array: every
n-th one, or any ones.  Elements are counted as `Replica.data` has them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pydsm.array import is_shared, root_of
from pydsm.core.diff import read_positions, unit_of, write_positions
from pydsm.core.place import address_of
from pydsm.core.region import RowKey, intervals_of
from pydsm.mpi.buffers import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.mpi.replica import Replica

__all__ = ["HEAD", "Piece", "Selection", "select"]

HEAD: Final = 16
"""Bytes before each record of a diff."""
RUN: Final = 1 << 18
"""Bytes of a record, at most."""
_HEAD: Final = Struct("=QQ")
_SMALLEST: Final = 1 << 19
_PARTS: Final = 4  # of what is small: the first is on its way while the others are copied
Wire = tuple[int, ...] | tuple[int, int, bytes]


class Piece(NamedTuple):
    """Some rows of equal width.

    Attributes
    ----------
    width : int
        Elements of a row: 1 for a run of elements, else those of a row of the whole array.
    rows : slice or ndarray
        Ascending; a slice without None.
    """

    width: int
    rows: slice | NDArray[Any]

    def of(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Return what the elements of an array are here: a view, or a copy for rows that are listed."""
        if self.width == 1:
            return elements[self.rows]
        return elements.reshape(-1, self.width, *elements.shape[1:])[self.rows]

    def stripes(self, unit: int) -> NDArray[Any]:
        """Return which stripes of `unit` elements these are, ascending."""
        if isinstance(self.rows, slice) and self.width * self.rows.step <= unit:
            return np.arange(self.rows.start * self.width // unit, (self.rows.stop * self.width - 1) // unit + 1)
        stripes = np.arange(self.rows.stop)[self.rows] if isinstance(self.rows, slice) else self.rows
        stripes = stripes * self.width // unit
        return stripes[np.concatenate(([True], stripes[1:] != stripes[:-1]))]

    @property
    def length(self) -> int:
        """How many rows there are."""
        return count(self.rows)

    def diff_size(self, item: int) -> int:
        """Return how many bytes `write_diff` writes."""
        records = -(-self.length // (RUN // item)) if _is_run(self.width, self.rows) else self.length
        return self.length * self.width * item + records * HEAD

    def write_diff(self, item: int, read: Callable[[NDArray[Any]], None], to: NDArray[Any]) -> None:
        """Write the piece down as a diff, as `Twins` reads them; `read` gives the bytes of the elements, in order."""
        if not _is_run(self.width, self.rows):
            bits = np.empty(self.length * self.width * item, np.uint8)
            read(bits)
            record = np.dtype([("first", "u8"), ("count", "u8"), ("bits", "u1", (self.width * item,))])
            records = to.view(record)
            rows = self.rows if isinstance(self.rows, np.ndarray) else np.arange(self.rows.stop)[self.rows]
            records["first"], records["count"] = rows * self.width, self.width
            records["bits"] = bits.reshape(self.length, -1)
            return
        assert isinstance(self.rows, slice)
        at, most = 0, RUN // item
        for first in range(self.rows.start, self.rows.stop, most):
            count = min(most, self.rows.stop - first)
            to[at : at + HEAD] = np.frombuffer(_HEAD.pack(first, count), np.uint8)
            read(to[at + HEAD : at + HEAD + count * item])
            at += HEAD + count * item

    def wire(self) -> Wire:
        """Return the piece as it goes into a message."""
        if isinstance(self.rows, slice):
            return self.width, self.rows.start, self.rows.stop, self.rows.step
        runs, numbers = write_positions(self.rows)
        return self.width, runs, numbers.tobytes()

    @classmethod
    def read(cls, wire: Any) -> Piece:
        """Return the piece that was in a message."""
        if len(wire) == 4:
            return cls(wire[0], slice(*wire[1:]))
        return cls(wire[0], read_positions(wire[1], np.frombuffer(wire[2], np.int64)))


class Selection(NamedTuple):
    """The rows that a key means, among the elements of the whole array.

    Attributes
    ----------
    shape : tuple of int
        Of a copy of the rows.
    row : tuple of int
        Shape of a row.
    elements : int
        How many elements a row has.
    width, rows
        Of the rows together, in ascending order; see `Piece`.
    order : ndarray, optional
        Which of the ascending rows each row of the copy is, where that is not their order.
    """

    shape: tuple[int, ...]
    row: tuple[int, ...]
    elements: int
    width: int
    rows: slice | NDArray[Any]
    order: NDArray[Any] | None = None

    @property
    def length(self) -> int:
        """How many rows there are when none is counted twice."""
        return count(self.rows) * self.width // self.elements

    def pieces(self, replica: Replica, largest: int = LARGEST, head: int = 0) -> Iterator[tuple[int, Piece]]:
        """Yield pieces in ascending order, each with its home.

        None has more than `largest` bytes, with `head` bytes for each row that lies apart.
        """
        size = self.width * replica.item + (0 if _is_run(self.width, self.rows) else head)
        if size > largest and self.width > 1:
            rows = range(*self.rows.indices(self.rows.stop)) if isinstance(self.rows, slice) else self.rows
            for row in rows:
                whole = slice(int(row) * self.width, (int(row) + 1) * self.width, 1)
                yield from Selection((), (), self.width, 1, whole).pieces(replica, largest)
            return
        most = max(1, min(largest, max(_SMALLEST, count(self.rows) * size // _PARTS)) // size)
        unit = replica.stripe_bytes // replica.item
        edges = [bound * unit // self.width for bound in replica.homes.bounds]
        for home, (start, stop) in enumerate(pairwise(edges)):
            mine = _between(self.rows, start, stop)
            total = count(mine)
            for first in range(0, total, most):
                yield home, Piece(self.width, _part(mine, first, min(first + most, total)))


def select(array: Any, rows: RowKey) -> Selection | None:
    """Return which elements a key of an array or view means; None if they are not rows that lie as they did."""
    if not (is_shared(array) and array.ndim and array.size and array.flags.c_contiguous):
        return None
    root = root_of(array)
    item, offset = unit_of(root.dtype), address_of(array) - address_of(root)
    found = _read(rows, len(array), array.name or "") if array.dtype == root.dtype else None
    if found is None:
        return None
    which, order, single = found
    row, width = array.shape[1:], array.nbytes // item // len(array)
    shape = row if single else ((count(which) if order is None else len(order)), *row)
    first = offset // item
    if isinstance(which, slice) and which.step == 1:
        run = slice(first + which.start * width, first + which.stop * width, 1)
        return Selection(shape, row, width, 1, run, order)
    if first % width or width != root.nbytes // item // len(root):
        return None
    moved = first // width
    if isinstance(which, slice):
        return Selection(shape, row, width, width, slice(moved + which.start, moved + which.stop, which.step), order)
    return Selection(shape, row, width, width, moved + which, order)


def _read(rows: RowKey, length: int, name: str) -> tuple[slice | NDArray[Any], NDArray[Any] | None, bool] | None:
    """Return ascending rows, their order in the result if another, and whether it is one row without an axis."""
    if rows is None or rows is Ellipsis:
        return slice(0, length, 1), None, False
    if isinstance(rows, slice):
        wanted = range(*rows.indices(length))
        if wanted.step < 0 and wanted:
            return _slice(wanted[::-1]), np.arange(len(wanted))[::-1], False
        return _slice(wanted), None, False
    if isinstance(rows, (list, range, np.ndarray)):
        return _read_list(rows, length, name)
    intervals = intervals_of(rows, length, name)  # says what is wrong with it
    row = operator.index(rows) % length  # type: ignore[arg-type]
    return (slice(row, row + 1, 1), None, True) if len(intervals) else None


def _read_list(rows: Any, length: int, name: str) -> tuple[slice | NDArray[Any], NDArray[Any] | None, bool] | None:
    listed = np.array(rows)  # a copy: what is looked at here may be others' to write
    if listed.ndim != 1 or len(listed) == 0:
        return None
    intervals_of(listed, length, name)  # says what is wrong with it
    if listed.dtype == bool:
        return _compact(np.flatnonzero(listed)), None, False
    listed = np.where(listed < 0, listed + length, listed).astype(np.int64)
    if (listed[1:] > listed[:-1]).all():
        return _compact(listed), None, False
    ascending, order = np.unique(listed, return_inverse=True)
    return _compact(ascending), order, False


def _compact(rows: NDArray[Any]) -> slice | NDArray[Any]:
    """Return ascending rows, as a slice if they are one."""
    if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
        return slice(int(rows[0]), int(rows[-1]) + 1, 1)
    return rows if len(rows) else slice(0, 0, 1)


def _slice(rows: range) -> slice:
    if len(rows) < 2:  # a step says nothing then, and where they stop may be far behind
        return slice(rows.start, rows.start + 1, 1) if rows else slice(0, 0, 1)
    return slice(rows.start, rows.stop, rows.step)


def count(rows: slice | NDArray[Any]) -> int:
    """Return how many rows there are."""
    return len(range(rows.start, rows.stop, rows.step)) if isinstance(rows, slice) else len(rows)


def _is_run(width: int, rows: slice | NDArray[Any]) -> bool:
    """Say whether rows are neighbouring elements, and nothing else is known of them."""
    return width == 1 and isinstance(rows, slice) and rows.step == 1


def _between(rows: slice | NDArray[Any], start: int, stop: int) -> slice | NDArray[Any]:
    """Return those of the rows that are in a range."""
    if isinstance(rows, np.ndarray):
        first, last = np.searchsorted(rows, (start, stop))
        return rows[first:last]
    begin = max(rows.start, rows.start + -(-(start - rows.start) // rows.step) * rows.step)
    return slice(begin, max(begin, min(stop, rows.stop)), rows.step)


def _part(rows: slice | NDArray[Any], first: int, stop: int) -> slice | NDArray[Any]:
    """Return some of the rows, by their places."""
    if isinstance(rows, np.ndarray):
        return rows[first:stop]
    return slice(rows.start + first * rows.step, rows.start + (stop - 1) * rows.step + 1, rows.step)
