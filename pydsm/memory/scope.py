"""What a synchronisation moves: everything, or rows of some arrays.

On *release* memory each moves everything: a worker that acquires sees all that happened before
(Keleher, Cox and Zwaenepoel 1992).  On *entry* memory a region moves its own rows (Bershad,
Zekauskas and Sawdon 1993), and only a fence, a named lock and an atomic operation move more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pydsm.core.diff import Spans
from pydsm.core.events import Hold

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EVERYTHING", "Policy", "Scope", "scope_of_fence", "scope_of_holds", "spans_of"]

Policy = Literal["release", "entry"]
Scope = Mapping[int, Spans | None] | None
"""Elements of arrays by id, None for all of one; None for everything."""
EVERYTHING: Final = None


def scope_of_holds(policy: Policy, holds: Sequence[Hold]) -> Scope:
    """Return what entering or leaving regions and named locks moves."""
    if policy == "release" or any(hold.array is None or hold.fence for hold in holds):
        return EVERYTHING
    rows: dict[int, list[NDArray[np.intp]]] = {}
    for hold in holds:
        rows.setdefault(hold.array_id, []).append(spans_of(hold))
    return {array_id: _union(spans) for array_id, spans in rows.items()}


def scope_of_fence(policy: Policy, array_id: int) -> Scope:
    """Return what a fence of an array moves."""
    return EVERYTHING if policy == "release" else {array_id: None}


def spans_of(hold: Hold) -> NDArray[np.intp]:
    """Return the elements of a hold's rows in the flattened whole array, as intervals."""
    root = hold.array
    while isinstance(root.base, type(root)):
        root = root.base
    spans: NDArray[np.intp] = hold.rows * (root.size // max(1, len(root)))
    return spans


def _union(spans: list[NDArray[np.intp]]) -> Spans:
    """Return intervals, each list of which is sorted, as one list."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(tuple(span) for part in spans for span in part.tolist()):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged
