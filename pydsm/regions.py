"""Regions of several arrays held together, without deadlock.

All the stripes of all the regions are taken in one global order, (array id, stripe), so
two workers that ask for the same regions in any order never wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pydsm import native
from pydsm.array import GlobalArray
from pydsm.core.region import RowKey
from pydsm.native import Region, RegionGroup
from pydsm.observed import ObservedArray, ObservedRegion, RegionHold
from pydsm.sync.locktable import LockTable, deadline_of

__all__ = ["locked"]


def locked(
    *regions: tuple[GlobalArray, RowKey],
    timeout: float | None = None,
    fence: bool = False,
    undo: bool = False,
    recover: bool = False,
) -> RegionGroup | ObservedRegion:
    """Hold rows of several arrays while inside ``with``.

    Parameters
    ----------
    *regions : pairs of an array and its rows
        An array may come more than once.
    timeout : float, optional
        Seconds to wait for all of them together; None waits for ever.
    fence, undo, recover : bool
        As in `GlobalArray.locked`; `undo` is all or nothing over all the arrays.

    Returns
    -------
    RegionGroup
        A context manager; ``as`` gives a tuple of what each ``A.locked(rows)`` would give.

    Raises
    ------
    TypeError, IndexError
        At once, if something is no array or no rows of it.
    LockTimeoutError, DeadlockError, OwnerDiedError
        At the enter; nothing is held then.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A, B = team.array("A", 4), team.array("B", 4)
    ...     A[:] = 3
    ...     with pydsm.locked((A, 1), (B, slice(0, 2))) as (one, two):
    ...         two += one
    ...     B.tolist()
    [3.0, 3.0, 0.0, 0.0]
    """
    deadline_of(timeout)
    parts = _parts(regions, timeout, fence=fence, recover=recover)
    group = RegionGroup(parts, _in_order(parts), timeout, undo=undo)
    holds = [
        RegionHold(array, part, fence=fence, undo=undo, recover=recover)
        for (array, _), part in zip(regions, parts, strict=True)
        if isinstance(array, ObservedArray)
    ]
    if not holds:
        return group
    if not undo:
        return ObservedRegion(group, holds)
    saved = [(array._to_save() if isinstance(array, ObservedArray) else array, rows) for array, rows in regions]
    inner = _parts(saved, timeout, fence=fence, recover=recover)
    saving = RegionGroup(inner, _in_order(inner), timeout, undo=True)
    return ObservedRegion(RegionGroup(parts, _in_order(parts), timeout), holds, saving)


def _parts(
    regions: Iterable[tuple[GlobalArray, RowKey]], timeout: float | None, *, fence: bool, recover: bool
) -> list[Region]:
    parts = []
    for pair in regions:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], GlobalArray):
            raise TypeError(f"locked() takes pairs of a GlobalArray and its rows, not {pair!r}")
        parts.append(native.locked(pair[0], pair[1], timeout=timeout, fence=fence, recover=recover))
    return parts


def _in_order(parts: list[Region]) -> list[Region]:
    """Return one region for each array, in the order of the arrays' ids."""
    arrays: dict[tuple[str, int], list[Region]] = {}
    for part in parts:
        table: LockTable = part.locks.policy
        arrays.setdefault((table.namespace.name, table.array_id), []).append(part)
    return [
        same[0].widened(np.unique(np.concatenate([part.stripes() for part in same])))
        for _, same in sorted(arrays.items(), key=lambda entry: entry[0])
    ]
