"""From the names people give to the names the operating system sees, and back.

Everything of one namespace starts with ``pydsm.<namespace>.``:

====================================  =====================================
``pydsm.<namespace>.team``            lock file, participants, barrier
``pydsm.<namespace>.data.<name>``     an array's elements
``pydsm.<namespace>.lock.<name>``     its header and lock words
``pydsm.<namespace>.undo.<slot>-<n>`` what rows were before a participant's n-th region
``pydsm.<namespace>.scratch.<bytes>`` rows of so many bytes, in which workers reduce arrays
``pydsm.<namespace>.observe.<what>``  what observers of the workers share (see `pydsm.core.events`)
``sem.pydsm.<namespace>.<slot>``      the semaphore a participant sleeps on
====================================  =====================================
"""

from __future__ import annotations

import os
import re
from typing import Final

from pydsm.errors import NameExistsError

__all__ = [
    "check_name",
    "check_namespace",
    "data_name",
    "lock_name",
    "new_namespace",
    "observe_name",
    "parse",
    "scratch_name",
    "semaphore_name",
    "split",
    "team_name",
    "undo_name",
]

_MAX_NAME_BYTES: Final = 180
_RESERVED: Final = frozenset({"id"})
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_FILE: Final = re.compile(
    r"(?:sem\.)?pydsm\.([A-Za-z0-9_-]{1,40})\.(team|data|lock|undo|scratch|observe|\d+)(?:\.(.+))?", re.DOTALL
)


def new_namespace() -> str:
    """Return a namespace that nobody else has."""
    return os.urandom(5).hex()


def check_namespace(namespace: str) -> str:
    """Return `namespace`, or raise for one that cannot be part of a file name."""
    if not isinstance(namespace, str):
        raise TypeError(f"a namespace is a string, not {namespace!r}")
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r} must be 1 to 40 letters, digits, '-' or '_'")
    return namespace


def check_name(name: str) -> str:
    """Return `name`, or raise TypeError, ValueError or (a reserved one) NameExistsError."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {name!r}")
    if not name:
        raise ValueError("the name of an array or lock must not be empty")
    if "/" in name or "\0" in name or not name.isprintable():
        raise ValueError(f"name {name!r} must not have '/', NUL or unprintable characters")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"name {name[:20]!r}... has {len(name.encode())} bytes, more than {_MAX_NAME_BYTES}")
    if name in _RESERVED:
        raise NameExistsError(f"name {name!r} is reserved: a worker's resources carry its rank there")
    return name


def split(name: str) -> tuple[str | None, str]:
    """Split ``"namespace/name"``; a bare name has no namespace."""
    if isinstance(name, str) and name.count("/") == 1:
        namespace, bare = name.split("/")
        return check_namespace(namespace), check_name(bare)
    return None, check_name(name)


def team_name(namespace: str) -> str:
    """Return the file name of a namespace's lock file."""
    return f"pydsm.{namespace}.team"


def data_name(namespace: str, name: str) -> str:
    """Return the file name of an array's elements."""
    return f"pydsm.{namespace}.data.{name}"


def lock_name(namespace: str, name: str) -> str:
    """Return the file name of an array's header and lock words."""
    return f"pydsm.{namespace}.lock.{name}"


def undo_name(namespace: str, slot: int, depth: int) -> str:
    """Return the file name of a participant's undo record at a depth of nesting."""
    return f"pydsm.{namespace}.undo.{slot}-{depth}"


def scratch_name(namespace: str, row: int) -> str:
    """Return the file name of a namespace's scratch segment with rows of so many bytes."""
    return f"pydsm.{namespace}.scratch.{row}"


def observe_name(namespace: str, what: str) -> str:
    """Return the file name of something that observers of a namespace's workers share."""
    return f"pydsm.{namespace}.observe.{what}"


def semaphore_name(namespace: str, slot: int) -> str:
    """Return the semaphore name of a slot (the file has ``sem.`` before it)."""
    return f"/pydsm.{namespace}.{slot}"


def parse(file: str) -> tuple[str, str, str] | None:
    """Return (namespace, kind, name) of a file name, or None if it is not ours.

    Examples
    --------
    >>> parse("pydsm.ab12.data.H"), parse("sem.pydsm.ab12.3"), parse("other")
    (('ab12', 'data', 'H'), ('ab12', 'semaphore', '3'), None)
    """
    match = _FILE.fullmatch(file)
    if not match:
        return None
    namespace, kind, name = match.groups()
    if file.startswith("sem."):
        return (namespace, "semaphore", kind) if kind.isdigit() and name is None else None
    if kind.isdigit() or (name is None) != (kind == "team"):
        return None
    return namespace, kind, name or ""
