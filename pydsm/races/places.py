"""Which elements are meant, where NumPy alone knows: an array of places, indexed as the array is.

The places of an array are the offsets of its elements in bytes, in an array of the same shape; what
``places[key]`` gives is what ``array[key]`` touches.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.races.machine import READ, access, bare, is_tracked, read_fancy_with, touch_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["places_of", "reads", "see"]


@functools.lru_cache(maxsize=4)
def _places(shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[np.int64]:
    offsets = np.zeros((1,) * len(shape), np.int64)
    for axis, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        place = [1] * len(shape)
        place[axis] = extent
        offsets = offsets + (np.arange(extent, dtype=np.int64) * stride).reshape(place)
    offsets.flags.writeable = False
    return offsets


def places_of(array: Any) -> NDArray[np.int64]:
    """Return the offsets of all elements."""
    return _places(array.shape, array.strides)


def see(array: Any, kind: int, places: Any) -> None:
    """See an access of the elements at some places."""
    if is_tracked(array):
        touch_places(array, np.unique(places).astype(np.int64), kind)


def reads(value: Any) -> None:
    """See a value be read, and what is in it if it is a list or a tuple."""
    if isinstance(value, np.ndarray):
        access(value, READ)
    elif isinstance(value, (list, tuple)):
        for part in value:
            reads(part)


def _see_fancy(array: Any, key: Any, kind: int) -> None:
    """See an access by a key of index arrays or masks."""
    see(array, kind, places_of(array)[_bare_key(key)])


def _bare_key(key: Any) -> Any:
    return tuple(bare(part) for part in key) if isinstance(key, tuple) else bare(key)


read_fancy_with(_see_fancy)
