"""What changed in an array: twins, diffs, and merging them.

A *twin* is a copy of a replica as it was when it was last in step; comparing the two finds what
was written since, without anybody having watched the writes: the *diff* (Carter, Bennett
and Zwaenepoel, *Implementation and performance of Munin*, 1991; TreadMarks, 1994).  Two workers
may so write neighbouring bytes at the same time, and neither undoes what the other did.

The unit is a whole element, compared and copied by its bits: -0.0 is not 0.0, a NaN keeps its
payload, and no element is ever made of halves of two.  A write that leaves an element's bits as
they were is no change.

An incoming diff is applied *two ways* (Stets and others, *Cashmere-2L*, 1997): the
twin gets it in any case, the replica only where it has no change of its own, which the next
diff will then show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Diff",
    "Spans",
    "apply",
    "apply_two_ways",
    "changes",
    "merge",
    "positions_in",
    "read_positions",
    "units",
    "write_positions",
]

Spans = Sequence[tuple[int, int]]
"""Half-open ranges of elements, ascending and apart."""
_WORD: Final = 8
_RUN: Final = 2  # numbers that a run of positions takes in a message


@dataclass(frozen=True, slots=True, eq=False)
class Diff:
    """New values of some elements of one array.

    Attributes
    ----------
    positions : ndarray of int64
        Ascending positions in the flattened array.
    values : ndarray
        Their bits, as `units` has them.
    """

    positions: NDArray[np.int64]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.positions)

    def where(self, chosen: NDArray[np.bool_]) -> Diff:
        """Return the part that a mask chooses."""
        return Diff(self.positions[chosen], self.values[chosen])


def units(memory: NDArray[np.uint8], itemsize: int) -> NDArray[Any]:
    """Return bytes as elements to be compared and copied: one number each, or a row of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> units(np.zeros(24, np.uint8), 8).shape, units(np.zeros(24, np.uint8), 12).shape
    ((3,), (2, 12))
    """
    if itemsize in (1, 2, 4, 8):
        return memory.view(f"u{itemsize}")
    if itemsize % _WORD == 0:
        return memory.view(np.uint64).reshape(-1, itemsize // _WORD)
    return memory.reshape(-1, itemsize)


def changes(replica: NDArray[Any], twin: NDArray[Any], spans: Spans | None = None) -> Diff:
    """Return what of a replica is no longer as in its twin.

    Parameters
    ----------
    replica, twin : ndarray
        As `units` has them.
    spans : sequence of (int, int), optional
        Where to look; everywhere unless given.

    Examples
    --------
    >>> import numpy as np
    >>> diff = changes(np.array([5, 7, 7], np.uint8), np.array([5, 6, 7], np.uint8))
    >>> diff.positions.tolist(), diff.values.tolist()
    ([1], [7])
    """
    looked = [
        start + np.flatnonzero(_differ(replica[start:stop], twin[start:stop]))
        for start, stop in ([(0, len(replica))] if spans is None else spans)
    ]
    positions = looked[0] if len(looked) == 1 else np.concatenate([*looked, np.empty(0, np.intp)])
    return Diff(positions.astype(np.int64, copy=False), replica[positions])


def apply(memory: NDArray[Any], diff: Diff) -> None:
    """Write a diff, but only where it says something new, so that untouched pages stay so."""
    new = _differ(memory[diff.positions], diff.values)
    if new.any():
        memory[diff.positions[new]] = diff.values[new]


def apply_two_ways(replica: NDArray[Any], twin: NDArray[Any], diff: Diff) -> None:
    """Bring a diff into a twin, and into its replica where that has no change of its own.

    The replica goes first: who is interrupted in between has a change that says what
    others know already, and not one that takes it back.
    """
    clean = ~_differ(replica[diff.positions], twin[diff.positions])
    apply(replica, diff if clean.all() else diff.where(clean))
    apply(twin, diff)


def merge(diffs: Iterable[Diff]) -> Diff:
    """Return the one diff that does what all do, one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> def diff(positions, values):
    ...     return Diff(np.array(positions), np.array(values))
    >>> merged = merge([diff([1, 3], [10, 30]), diff([2, 3], [20, 31])])
    >>> merged.positions.tolist(), merged.values.tolist()
    ([1, 2, 3], [10, 20, 31])
    """
    parts = list(diffs)
    if len(parts) == 1:
        return parts[0]
    positions = np.concatenate([part.positions for part in parts])
    values = np.concatenate([part.values for part in parts])
    last = len(positions) - 1
    exact, backwards = np.unique(positions[::-1], return_index=True)
    return Diff(exact, values[last - backwards])


def positions_in(positions: NDArray[np.int64], spans: Spans) -> NDArray[np.bool_]:
    """Say which of the positions are in one of the spans.

    Examples
    --------
    >>> import numpy as np
    >>> positions_in(np.array([1, 4, 6, 9]), [(0, 2), (6, 9)]).tolist()
    [True, False, True, False]
    """
    if not len(spans):
        return np.zeros(len(positions), bool)
    edges = np.asarray(spans, np.int64)
    place = np.searchsorted(edges[:, 0], positions, side="right") - 1
    inside: NDArray[np.bool_] = (place >= 0) & (positions < edges[place, 1])
    return inside


def write_positions(positions: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Return ascending positions for a message: as runs (their number, starts, lengths) or as they are (0)."""
    count = len(positions)
    if count > _RUN:
        breaks = np.flatnonzero(np.diff(positions) != 1) + 1
        if _RUN * (len(breaks) + 1) < count:
            edges = np.concatenate(([0], breaks, [count]))
            return len(edges) - 1, np.concatenate((positions[edges[:-1]], np.diff(edges)))
    return 0, positions


def read_positions(runs: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions that `write_positions` wrote down."""
    if runs == 0:
        return numbers
    starts, lengths = numbers[:runs], numbers[runs:]
    if runs == 1:
        return np.arange(starts[0], starts[0] + lengths[0])
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _differ(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = np.not_equal(one, other)
    return np.any(different, axis=1) if different.ndim == 2 else different
