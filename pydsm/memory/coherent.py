"""The memory of one machine: what a worker sees is the home itself.

The processor keeps the views of all processes in step, store by store; all that is left to
do is to keep it and the compiler from reordering accesses across a lock word or a fence,
which the sequentially consistent operations in `pydsm.native` do.
"""

from __future__ import annotations

import contextlib

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.errors import NameExistsError, SegmentError, UnknownNameError
from pydsm.ipc import shm
from pydsm.memory.base import Backing
from pydsm.native import fence
from pydsm.sync import datasegment, locksegment
from pydsm.sync.namespace import Namespace

__all__ = ["CoherentMemory"]


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
            data = datasegment.create(namespace.name, description, namespace.permissions)
            try:
                header, locks = locksegment.create(namespace, description, stripes)
            except BaseException:
                shm.unlink(data_file)
                raise
        return Backing(header.description, data, locks)

    def attach(self, namespace: Namespace, name: str, *, readonly: bool) -> Backing:
        """Map an existing array.

        Raises
        ------
        UnknownNameError, SegmentError
        """
        while True:  # until locks and elements are of one array: it may be removed and made anew meanwhile
            before = _identity(namespace, name)
            header, locks = locksegment.attach(namespace, name)
            description = header.description
            if not description.shape:
                raise TypeError(f"{name!r} is a lock, not an array")
            try:
                data = datasegment.attach(namespace.name, description, readonly=readonly, shared=namespace.is_shared)
            except (FileNotFoundError, SegmentError):
                if _identity(namespace, name) == before:
                    raise SegmentError(f"array {name!r} has lost its elements, or they are damaged") from None
                continue
            if _identity(namespace, name) == before:
                return Backing(description, data, locks)

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


def _identity(namespace: Namespace, name: str) -> int | None:
    """Return which file has the name of the array's lock words now."""
    with contextlib.suppress(FileNotFoundError):
        return shm.status(names.lock_name(namespace.name, name)).st_ino
    return None
