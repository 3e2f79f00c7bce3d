"""Buffers that transfers go through, used again and again: new memory costs as much as the copy into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST", "Buffers"]

LARGEST: Final = 1 << 22
"""Bytes of a transfer, at most: so many are copied in a fifth of a millisecond, and others have their turn."""
_KEPT: Final = 8


class Buffers:
    """Buffers of one size; the one that was used last comes first, since the processor's cache has it.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[NDArray[Any]] = []

    def take(self, size: int) -> NDArray[Any]:
        """Return so many bytes, which nobody else has."""
        try:
            whole = self._free.pop() if size <= self._size else None
        except IndexError:
            whole = None
        return (np.empty(max(size, self._size), np.uint8) if whole is None else whole)[:size]

    def give_back(self, buffer: NDArray[Any]) -> None:
        """Take back what `take` returned."""
        whole = buffer.base
        if isinstance(whole, np.ndarray) and len(whole) == self._size and len(self._free) < _KEPT:
            self._free.append(whole)
