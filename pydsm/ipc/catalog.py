"""What exists here, and taking back the names of the dead.

A namespace is *stale* if nobody holds a lock on its lock file: then every process that
ever took part is dead or has left, and its names are removed, the lock file last, so that
a reclaimer that dies half-way leaves the rest to the next.  Anything else is left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict

from pydsm.core import names
from pydsm.errors import SegmentError
from pydsm.ipc import shm
from pydsm.ipc.lockfile import LockFile

__all__ = ["files_of", "is_live", "make_way", "namespaces", "reclaim", "remove_names"]


def namespaces() -> dict[str, list[str]]:
    """Return the file names of each namespace that this user has here."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in shm.listing():
        parsed = names.parse(file)
        if parsed and _is_ours(file):
            found[parsed[0]].append(file)
    return dict(found)


def files_of(namespace: str) -> list[str]:
    """Return the file names of a namespace, whosever they are."""
    parsed = ((names.parse(file), file) for file in shm.listing())
    return [file for entry, file in parsed if entry and entry[0] == namespace]


def is_live(namespace: str) -> bool:
    """Say whether some process takes part in the namespace."""
    file = _open(namespace)
    if file is None:
        return False
    try:
        return not file.prove_alone()
    finally:
        file.close()


def reclaim(wanted: str | None = None) -> list[str]:
    """Remove the names of stale namespaces (or only of `wanted`); return the removed names."""
    removed: list[str] = []
    for namespace, files in namespaces().items():
        if wanted is None or namespace == wanted:
            removed += _reclaim(namespace, files)
    return removed


def _reclaim(namespace: str, files: list[str]) -> list[str]:
    file = _open(namespace)
    if file is None:
        # The lock file is the first to appear and the last to go: the rest is nobody's.
        return [] if shm.exists(names.team_name(namespace)) else remove_names(files)
    try:
        if not file.prove_alone() or not file.has_name():
            return []
        return remove_names(namespaces().get(namespace, []))
    finally:
        file.close()


def make_way(namespace: str) -> bool:
    """Take back one namespace if it is stale, or wait for whoever does so just now.

    False if it stays: somebody takes part in it, or it is not this user's to remove.
    """
    name = names.team_name(namespace)
    while True:
        try:
            file = LockFile(shm.open_checked(name), name)
        except FileNotFoundError:
            return True
        except SegmentError:
            return False
        try:
            while not file.prove_alone():
                if file.is_joined():
                    return False
                file.let_pass()
            if file.has_name():
                remove_names(namespaces().get(namespace, []))
                if file.has_name():
                    return False
        finally:
            file.close()


def remove_names(files: list[str]) -> list[str]:
    """Unlink the files, lock files last; return those that were there."""
    ordered = sorted(files, key=lambda file: (file.endswith(".team"), file))
    return [file for file in ordered if _unlink(file)]


def _unlink(file: str) -> bool:
    """Remove a name, unless another user of a shared namespace made it: then it is theirs to reclaim."""
    with contextlib.suppress(PermissionError):
        return shm.unlink(file)
    return False


def _open(namespace: str) -> LockFile | None:
    """Open a lock file without taking part."""
    name = names.team_name(namespace)
    try:
        return LockFile(shm.open_checked(name, shared=True), name)
    except (FileNotFoundError, SegmentError):
        return None


def _is_ours(file: str) -> bool:
    try:
        return shm.status(file).st_uid == os.geteuid()
    except FileNotFoundError:
        return False
