"""Where everything of the detector lies in shared memory.

The team's segment: clocks of all workers, what they held, what is known already::

    base       [worker]             clocks with which the workers of a run start
    live       [worker][8]          clocks as they are now
    arrivals   [2][worker]          clocks at the last two barriers
    locks      [256][2][worker]     clocks of named locks
    history    [worker][512][16]    what each worker held in each of its last epochs
    claims     [4096]               reports that somebody has made already
    ends       [worker][4]          how long its texts are: places, reports; how many of each

One segment for each array: its planes (see native/races.h) and the clocks of its stripes and
elements.  And one of bytes, where each worker writes its places and its reports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.races.machine import NEWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLAIMS", "ArrayPlan", "TeamPlan", "carve", "length_of", "unit_of"]

CLAIMS: Final = 4096
_LOCKS: Final = 256
_EPOCHS: Final = 512
_EPOCH_WORDS: Final = 16
_MOST_STRIPES: Final = 1 << 16
_MOST_ELEMENTS: Final = 1 << 12
_BLOCK: Final = 1 << 10
_MOST_SHIFT: Final = 4
_BUDGET: Final = 1 << 26  # bytes of an array's cells, as long as sharing them among neighbours helps

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TeamPlan:
    """What there is once for a team of `workers` workers."""

    workers: int

    def shapes(self) -> Shapes:
        """Return the shape of each part."""
        n = self.workers
        return {
            "base": (n,),
            "live": (n, 8),
            "arrivals": (2, n),
            "locks": (_LOCKS, 2, n),
            "history": (n, _EPOCHS, _EPOCH_WORDS),
            "claims": (CLAIMS,),
            "ends": (n, 4),
        }


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """What there is for an array of so many units and stripes, in a team of `workers` workers."""

    workers: int
    units: int
    stripes: int

    @property
    def shift(self) -> int:
        """Logarithm of the units that share a cell: none in an array of up to some million units."""
        for shift in range(_MOST_SHIFT):
            if 16 * self.workers * (self.units >> shift) <= _BUDGET:
                return shift
        return _MOST_SHIFT

    def shapes(self) -> Shapes:
        """Return the shape of each part."""
        n = self.workers
        cells = max(1, -(-self.units // (1 << self.shift)))
        blocks = -(-cells // _BLOCK)
        slots = max(1, min(self.units, _MOST_ELEMENTS))
        return {
            "cells": (n, 2, cells),
            "summary": (n, 2, blocks),
            "cover": (n, 2, blocks),
            "newest": (n, NEWEST),
            "atomics": (n, 2, slots, 2),
            "locks": (max(1, min(self.stripes, _MOST_STRIPES)), 2, 2, n),
            "elements": (slots, 2, n),
        }


def length_of(shapes: Shapes) -> int:
    """Return how many words the parts need."""
    return sum(map(math.prod, shapes.values()))


def carve(words: NDArray[np.uint64], shapes: Shapes) -> dict[str, NDArray[np.uint64]]:
    """Cut a segment into its parts."""
    parts, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        parts[name] = words[start:stop].reshape(shape)
        start = stop
    return parts


def unit_of(dtype: np.dtype[Any]) -> int:
    """Return the bytes of a unit: the largest part of an item that divides all its fields.

    Examples
    --------
    >>> unit_of(np.dtype(float)), unit_of(np.dtype("c16")), unit_of(np.dtype("f8,i4"))
    (8, 8, 4)
    """
    return math.gcd(dtype.itemsize, *_edges(dtype)) or 1


def _edges(dtype: np.dtype[Any]) -> list[int]:
    """Return where the parts of an item begin and end, in bytes."""
    if dtype.subdtype is not None:
        inner = dtype.subdtype[0]
        return [inner.itemsize, *_edges(inner)]
    if dtype.fields is None:
        return [dtype.itemsize // 2] if dtype.kind == "c" else []
    edges = []
    for field, offset, *_ in dtype.fields.values():
        edges += [offset, field.itemsize, *(offset + edge for edge in _edges(field))]
    return edges
