"""What exists on this machine: every namespace with its arrays, holders and waiters."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from pydsm.core import names
from pydsm.core.layout import TEAM_WORDS, Team
from pydsm.core.region import intervals_of
from pydsm.errors import PydsmError
from pydsm.ipc import catalog, segment
from pydsm.native import StripeLocks
from pydsm.sync import locksegment
from pydsm.sync.locktable import LockTable
from pydsm.sync.namespace import Namespace

__all__ = ["ArrayInfo", "NamespaceInfo", "take_inventory"]


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array (or a named lock, whose shape is empty) and who is at its rows."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    stripes: int
    holders: list[str]
    waiters: list[str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace; stale if no process takes part in it any more."""

    name: str
    live: bool
    pid: int
    age_seconds: float
    workers: int
    arrays: list[ArrayInfo]


def take_inventory() -> list[NamespaceInfo]:
    """Return all namespaces of this user, without changing or joining any for good."""
    return [_namespace(name, files) for name, files in sorted(catalog.namespaces().items())]


def _namespace(name: str, files: list[str]) -> NamespaceInfo:
    live = catalog.is_live(name)
    pid, created, workers = 0, 0, 0
    try:
        table = segment.attach(names.team_name(name), np.dtype(np.uint64))
        if len(table) == TEAM_WORDS:
            pid, created, workers = (int(table[word]) for word in (Team.PID, Team.CREATED, Team.SIZE))
    except (OSError, PydsmError):
        pass
    parsed = sorted(filter(None, map(names.parse, files)))
    listed = [entry[2] for entry in parsed if entry[1] == "lock"]
    arrays = _arrays(name, listed) if live else [_unknown(array, "stale") for array in listed]
    age = max(0.0, time.time() - created / 1e9) if created else math.nan
    return NamespaceInfo(name, live, pid, age, workers, arrays)


def _arrays(namespace_name: str, listed: list[str]) -> list[ArrayInfo]:
    try:
        namespace = Namespace.open(namespace_name)
    except (OSError, PydsmError) as error:
        return [_unknown(array, str(error)) for array in listed]
    return [_array(namespace, array) for array in listed]


def _array(namespace: Namespace, name: str) -> ArrayInfo:
    try:
        header, locks = locksegment.attach(namespace, name)
    except (OSError, PydsmError) as error:
        return _unknown(name, str(error))
    description, table = header.description, locks.policy
    assert isinstance(table, LockTable)
    dtype = description.numpy_dtype()
    return ArrayInfo(
        name,
        description.shape,
        str(dtype),
        math.prod(description.shape) * dtype.itemsize if description.shape else 0,
        header.stripes,
        _holders(table, locks),
        [f"{namespace.slots.name(slot)}: {table.what_is(stripe)}" for slot, stripe in table.waiting_for()],
    )


def _holders(table: LockTable, locks: StripeLocks) -> list[str]:
    """Return a line for each holder with all the rows it has, neighbours joined."""
    exclusive, shared = table.held_stripes()
    by_holder: dict[str, list[int]] = {}
    for stripe in sorted({*exclusive, *shared}):
        for who in table.holders(locks, stripe):
            by_holder.setdefault(who, []).append(stripe)
    lines = []
    for who, stripes in by_holder.items():
        runs = intervals_of(stripes, table.stripes).tolist()
        lines.append(f"{who}: {', '.join(table.what_is(start, stop) for start, stop in runs)}")
    return lines


def _unknown(name: str, problem: str) -> ArrayInfo:
    return ArrayInfo(name, (), "", 0, 0, [], [], problem)
