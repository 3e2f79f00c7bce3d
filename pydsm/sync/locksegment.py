"""Lock segments by name: made whole, attached only after looking."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Description, LockHeader, lock_segment, read_lock_header
from pydsm.errors import NameExistsError, UnknownNameError
from pydsm.ipc import segment
from pydsm.native import StripeLocks
from pydsm.sync.locktable import LockTable
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["attach", "create"]

_WORD: Final = np.dtype(np.uint64)


def create(namespace: Namespace, description: Description, stripes: int) -> tuple[LockHeader, StripeLocks]:
    """Create the lock words of an array or of a named lock.

    Raises
    ------
    NameExistsError, NoRoomError
    """
    name = description.name
    content, words = lock_segment(description, stripes, namespace.new_id(), os.geteuid())
    try:
        table = segment.create(names.lock_name(namespace.name, name), (words,), _WORD, content, **namespace.permissions)
    except FileExistsError:
        raise NameExistsError(f"name {name!r} is taken already in namespace {namespace.name!r}") from None
    return _open(namespace, name, table)


def attach(namespace: Namespace, name: str) -> tuple[LockHeader, StripeLocks]:
    """Attach the lock words of that name.

    Raises
    ------
    UnknownNameError, SegmentError
    """
    try:
        file = names.lock_name(namespace.name, names.check_name(name))
        table = segment.attach(file, _WORD, shared=namespace.is_shared)
    except FileNotFoundError:
        known = ", ".join(repr(other) for other in namespace.known()) or "nothing"
        raise UnknownNameError(
            f"there is no array or lock {name!r} in namespace {namespace.name!r}, which has {known}; "
            "what is in another namespace is called 'namespace/name'"
        ) from None
    return _open(namespace, name, table)


def _open(namespace: Namespace, name: str, table: NDArray[np.uint64]) -> tuple[LockHeader, StripeLocks]:
    header = read_lock_header(table, name)
    return header, namespace.lock_words_of(header, lambda: LockTable(namespace, header, table).open_locks())
