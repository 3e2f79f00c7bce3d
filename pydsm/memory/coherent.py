"""The memory of one machine: what a worker sees is the home itself.

The processor keeps the views of all processes in step, store by store; all that is left to
do is to keep it and the compiler from reordering accesses across a lock word or a fence,
which the sequentially consistent operations in `pydsm.native` do.
"""

from __future__ import annotations

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.errors import NameExistsError, SegmentError, UnknownNameError
from pydsm.ipc import shm
from pydsm.memory.base import Backing, Place
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
        if namespace.elsewhere is not None:
            namespace.elsewhere.make(description, stripes)
            return self.attach(namespace, name, readonly=False)
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
            place = _place(namespace, header.description)
        return Backing(header.description, data, locks, place)

    def attach(self, namespace: Namespace, name: str, *, readonly: bool) -> Backing:
        """Map an existing array.

        Raises
        ------
        UnknownNameError, SegmentError
        """
        while True:  # until locks and elements are of one array: it may be removed and made anew meanwhile
            before = _lock_file(namespace, name)
            header, locks = locksegment.attach(namespace, name)
            description = header.description
            if not description.shape:
                raise TypeError(f"{name!r} is a lock, not an array")
            try:
                data = datasegment.attach(namespace.name, description, readonly=readonly, shared=namespace.is_shared)
            except (FileNotFoundError, SegmentError):
                if _lock_file(namespace, name) == before:
                    raise SegmentError(f"array {name!r} has lost its elements, or they are damaged") from None
                continue
            place = _place(namespace, description)
            if place[1] == before:
                return Backing(description, data, locks, place)

    def is_at(self, namespace: Namespace, description: Description, place: Place) -> bool:
        """Say whether the names still mean the files that were mapped, unchanged in owner, mode and length."""
        return place is not None and None not in place and _place(namespace, description) == place

    def unlink(self, namespace: Namespace, name: str) -> None:
        """Remove the names; a file of the user's stays.

        Raises
        ------
        UnknownNameError
        """
        if namespace.elsewhere is not None:
            namespace.elsewhere.drop(name)
            return
        with namespace.creating():
            found = shm.unlink(names.lock_name(namespace.name, name))
            found |= shm.unlink(names.data_name(namespace.name, name))
        if not found:
            raise UnknownNameError(f"there is no array {name!r} in namespace {namespace.name!r}")

    def fence(self) -> None:
        """Order all my earlier accesses before all later ones."""
        fence()


def _place(namespace: Namespace, description: Description) -> tuple[object, object]:
    """Return which files have the array's names now.

    The lock words' comes last: it is the first name to go and the last to appear, so if that
    is the same as before, the other one was all the time.
    """
    if description.file is not None:
        elements = shm.describe(description.file, follow=True)
    else:
        elements = shm.describe(shm.path_of(names.data_name(namespace.name, description.name)))
    return elements, _lock_file(namespace, description.name)


def _lock_file(namespace: Namespace, name: str) -> tuple[int, ...] | None:
    """Return which file has the name of the array's lock words now."""
    return shm.describe(shm.path_of(names.lock_name(namespace.name, name)))
