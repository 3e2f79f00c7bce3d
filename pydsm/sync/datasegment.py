"""Data segments by description: an array's elements as the operating system has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.ipc import segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.ipc.shm import Permissions

__all__ = ["attach", "create"]

_BYTE: Final = np.dtype(np.uint8)


def create(namespace: str, description: Description, permissions: Permissions, *, lazy: bool = False) -> NDArray[Any]:
    """Make the elements, all zero (or take those that a file of the user's holds).

    `lazy` ones take memory as they are touched.

    Raises
    ------
    FileExistsError, NoRoomError
    """
    shape, dtype = _stored(description)
    if description.file is not None:
        return _as_described(description, segment.create_file(description.file, shape, dtype))
    name = names.data_name(namespace, description.name)
    lazy = lazy and not description.huge
    data = segment.create(name, shape, dtype, huge_pages=description.huge, lazy=lazy, **permissions)
    return _as_described(description, data)


def attach(namespace: str, description: Description, *, readonly: bool = False, shared: bool = False) -> NDArray[Any]:
    """Map the elements of an existing array.

    Raises
    ------
    FileNotFoundError, SegmentError
    """
    shape, dtype = _stored(description)
    if description.file is not None:
        data = segment.attach_file(description.file, shape, dtype, readonly=readonly)
    else:
        name = names.data_name(namespace, description.name)
        data = segment.attach(name, dtype, shape, readonly=readonly, shared=shared, huge_pages=description.huge)
    return _as_described(description, data)


def _as_described(description: Description, data: NDArray[Any]) -> NDArray[Any]:
    if description.typed:
        return data
    return data.view(description.numpy_dtype()).reshape(description.shape)


def _stored(description: Description) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype as SharedArray sees them: plain bytes where it knows no better."""
    dtype = description.numpy_dtype()
    if description.typed:
        return description.shape, dtype
    count = dtype.itemsize
    for extent in description.shape:
        count *= extent
    return (count,), _BYTE
