"""Values that are put into rows, read a piece at a time into a buffer: of any shape and type that fits.

They are read once only, because they may be shared memory that others write: what the home has, the replica and its
twin must be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.mpi.pieces import Selection

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Values"]


class Values:
    """Values for rows in ascending order.

    Parameters
    ----------
    rows : ndarray
        One for each row; may be a broadcast view.
    dtype : dtype
        To convert them to.
    """

    def __init__(self, rows: NDArray[Any], dtype: np.dtype[Any]) -> None:
        self._rows, self._dtype = rows, dtype
        self._width = int(np.prod(rows.shape[1:])) * dtype.itemsize
        as_they_are = rows.flags.c_contiguous and rows.dtype == dtype and rows.size
        self._bytes = rows.reshape(-1).view(np.uint8) if as_they_are else None
        self._place = 0
        self._block = (0, 0, np.empty(0, np.uint8))

    @classmethod
    def fitted(cls, values: ArrayLike, chosen: Selection, dtype: np.dtype[Any], target: NDArray[Any]) -> Values | None:
        """Return values as rows that are chosen of an array; None if NumPy has to say what they are."""
        if isinstance(values, np.ndarray):
            given = values
        elif dtype.fields is not None:
            return None
        else:
            given = np.empty(np.shape(values), dtype)
            given[...] = values
        if given.dtype == object:
            return None
        try:
            rows = np.broadcast_to(given, chosen.shape)
        except ValueError:
            return None
        if np.may_share_memory(given, target):
            rows = np.array(rows)
        rows = rows.view(np.ndarray).reshape(-1 if chosen.order is not None else chosen.length, *chosen.row)
        if chosen.order is not None:
            ascending = np.empty((chosen.length, *chosen.row), dtype)
            ascending[chosen.order] = rows
            rows = ascending
        return cls(rows, dtype)

    def rewind(self) -> None:
        """Begin anew."""
        self._place = 0

    def read(self, content: NDArray[np.uint8]) -> None:
        """Read the next bytes."""
        place, stop = self._place, self._place + len(content)
        self._place = stop
        if self._bytes is not None:
            content[:] = self._bytes[place:stop]
            return
        first, last = place // self._width, -(-stop // self._width)
        if (first, last) != self._block[:2]:
            rows = np.empty((last - first, *self._rows.shape[1:]), self._dtype)
            np.copyto(rows, self._rows[first:last], casting="unsafe")
            self._block = first, last, rows.reshape(-1).view(np.uint8)
        offset = place - first * self._width
        content[:] = self._block[2][offset : offset + len(content)]
