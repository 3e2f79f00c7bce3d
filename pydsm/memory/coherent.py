"""The memory of one machine: what a worker sees is the home itself.

The processor keeps the views of all processes in step, store by store; all that is left to
do is to keep it and the compiler from reordering accesses across a lock word or a fence,
which the sequentially consistent operations in `pydsm.native` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.errors import NameExistsError, SegmentError, UnknownNameError
from pydsm.ipc import segment, shm
from pydsm.memory.base import Backing
from pydsm.native import StripeLocks, fence
from pydsm.sync import locksegment
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CoherentMemory"]

_BYTE: Final = np.dtype(np.uint8)


class CoherentMemory:
    """Arrays in the shared memory of one machine."""

    name = "coherent"

    def create(self, namespace: Namespace, description: Description, stripes: int) -> Backing:
        """Make an array of zeros; its lock segment appears last, so an attacher finds all or nothing.

        Raises
        ------
        NameExistsError, NoRoomError
        """
        name = description.name
        data_file = names.data_name(namespace.name, name)
        with namespace.creating():
            if shm.exists(names.lock_name(namespace.name, name)):
                raise NameExistsError(f"name {name!r} is taken already in namespace {namespace.name!r}")
            shm.unlink(data_file)  # without its lock words: what a killed creator left
            data = self._create_data(description, data_file)
            try:
                header, locks = locksegment.create(namespace, description, stripes)
            except BaseException:
                shm.unlink(data_file)
                raise
        return _backing(header.description, data, locks)

    def attach(self, namespace: Namespace, name: str, *, readonly: bool) -> Backing:
        """Map an existing array.

        Raises
        ------
        UnknownNameError, SegmentError
        """
        header, locks = locksegment.attach(namespace, name)
        description = header.description
        if not description.shape:
            raise TypeError(f"{name!r} is a lock, not an array")
        shape, dtype = _stored(description)
        try:
            if description.file is not None:
                data = segment.attach_file(description.file, shape, dtype, readonly=readonly)
            else:
                data = segment.attach(names.data_name(namespace.name, name), dtype, shape, readonly=readonly)
        except FileNotFoundError:
            raise SegmentError(f"the elements of array {name!r} are gone: it is being removed") from None
        return _backing(description, data, locks)

    def unlink(self, namespace: Namespace, name: str) -> None:
        """Remove the names; a file of the user's stays.

        Raises
        ------
        UnknownNameError
        """
        with namespace.creating():
            found = shm.unlink(names.lock_name(namespace.name, name))
            found |= shm.unlink(names.data_name(namespace.name, name))
        if not found:
            raise UnknownNameError(f"there is no array {name!r} in namespace {namespace.name!r}")

    def fence(self) -> None:
        """Order all my earlier accesses before all later ones."""
        fence()

    def _create_data(self, description: Description, data_file: str) -> NDArray[Any]:
        shape, dtype = _stored(description)
        if description.file is not None:
            return segment.create_file(description.file, shape, dtype)
        return segment.create(data_file, shape, dtype)


def _backing(description: Description, data: NDArray[Any], locks: StripeLocks) -> Backing:
    if not description.typed:
        data = data.view(description.numpy_dtype()).reshape(description.shape)
    return Backing(description, data, locks)


def _stored(description: Description) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype as SharedArray sees them: plain bytes where it knows no better."""
    dtype = description.numpy_dtype()
    if description.typed:
        return description.shape, dtype
    count = dtype.itemsize
    for extent in description.shape:
        count *= extent
    return (count,), _BYTE
