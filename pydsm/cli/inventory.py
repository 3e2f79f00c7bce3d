"""What exists on this machine: every namespace with its arrays, holders and waiters."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from pydsm.core import names
from pydsm.core.layout import TEAM_WORDS, LockHeader, Team, read_lock_header
from pydsm.errors import PydsmError
from pydsm.ipc import catalog, segment, shm
from pydsm.native import StripeLocks
from pydsm.sync import locksegment
from pydsm.sync.locktable import LockTable
from pydsm.sync.namespace import Namespace

__all__ = ["ArrayInfo", "NamespaceInfo", "take_inventory"]


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds rows, or waits for them; `rows` are pairs of start and stop, of a lock none."""

    who: str
    shared: bool
    rows: list[list[int]]

    def __str__(self) -> str:
        parts = [f"{start}" if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in self.rows]
        mode = "shared" if self.shared else "exclusive"
        return f"{self.who}: {mode}" + (f" rows {', '.join(parts)}" if parts else "")


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array (or a named lock, whose shape is empty) and who is at its rows."""

    name: str
    shape: list[int]
    dtype: str
    nbytes: int
    stripes: int
    holders: list[Hold]
    abandoned: list[Hold]
    waiters: list[Hold]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace; stale if no process takes part in it any more."""

    name: str
    live: bool
    pid: int
    age_seconds: float
    workers: int
    nbytes: int
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
    arrays = _arrays(name, listed) if live else [_stale(name, array) for array in listed]
    age = max(0.0, time.time() - created / 1e9) if created else math.nan
    return NamespaceInfo(name, live, pid, age, workers, sum(map(_size, files)), arrays)


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
    table = locks.policy
    assert isinstance(table, LockTable)
    exclusive, shared = table.held_stripes()
    return _described(
        header,
        _holders(table, locks, exclusive, shared=False) + _holders(table, locks, shared, shared=True),
        _abandoned(table),
        [
            Hold(namespace.slots.name(slot), is_shared, table.rows_of([stripe]))
            for slot, stripe, is_shared in table.waiting_for()
        ],
    )


def _stale(namespace: str, name: str) -> ArrayInfo:
    """Return what a stale namespace has under a name, without taking part in it: nobody is at its rows."""
    try:
        table = segment.attach(names.lock_name(namespace, name), np.dtype(np.uint64))
        return _described(read_lock_header(table, name), [], [], [])
    except (OSError, PydsmError) as error:
        return _unknown(name, str(error))


def _described(header: LockHeader, holders: list[Hold], abandoned: list[Hold], waiters: list[Hold]) -> ArrayInfo:
    description = header.description
    dtype = description.numpy_dtype()
    return ArrayInfo(
        description.name,
        list(description.shape),
        str(dtype),
        math.prod(description.shape) * dtype.itemsize if description.shape else 0,
        header.stripes,
        holders,
        abandoned,
        waiters,
    )


def _size(file: str) -> int:
    try:
        return shm.status(file).st_size
    except FileNotFoundError:
        return 0


def _holders(table: LockTable, locks: StripeLocks, stripes: list[int], *, shared: bool) -> list[Hold]:
    """Return for each holder all the rows it has, neighbours joined."""
    by_holder: dict[str, list[int]] = {}
    for stripe in stripes:
        for who in table.holders(locks, stripe, shared=shared):
            by_holder.setdefault(who, []).append(stripe)
    return [Hold(who, shared, table.rows_of(held)) for who, held in by_holder.items()]


def _abandoned(table: LockTable) -> list[Hold]:
    """Return for each participant that died inside rows all that nobody has recovered yet."""
    by_dead: dict[str, list[int]] = {}
    for stripe, dead in table.abandoned().items():
        by_dead.setdefault(str(dead), []).append(stripe)
    return [Hold(f"{who}, dead", False, table.rows_of(stripes)) for who, stripes in by_dead.items()]


def _unknown(name: str, problem: str) -> ArrayInfo:
    return ArrayInfo(name, [], "", 0, 0, [], [], [], problem)
