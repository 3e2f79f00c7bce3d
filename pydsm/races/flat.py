"""``A.flat`` of a checked array: NumPy's own iterator would read and write unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pydsm.races.machine import READ, WRITE, bare
from pydsm.races.places import places_of, reads, see

__all__ = ["CheckedFlat"]


class CheckedFlat:
    """The elements of an array in row-major order; see `numpy.flatiter`."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.index = 0

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.index >= self.base.size:
            raise StopIteration
        value = self[self.index]
        self.index += 1
        return value

    @property
    def coords(self) -> tuple[int, ...]:
        """Index of the next element."""
        return tuple(int(place) for place in np.unravel_index(self.index, self.base.shape))

    def __getitem__(self, key: Any) -> Any:
        see(self.base, READ, places_of(self.base).flat[key])
        return bare(self.base).flat[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        reads(value)
        see(self.base, WRITE, places_of(self.base).flat[key])
        bare(self.base, True).flat[key] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.copy(), dtype)

    def copy(self) -> Any:
        """Return the elements as an array of one axis."""
        return self[:]
