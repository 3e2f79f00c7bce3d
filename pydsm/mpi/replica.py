"""One array on one node: the replica that all its workers map, its twin, and the versions of its stripes.

The *twin* is what the replica's home is known to have.  Replica and twin differ where somebody of this node has
written and nobody has told the home yet, so one compare of bits finds all writes, whoever made them (twin and
diff: Munin, TreadMarks; two-way diffs because siblings go on writing meanwhile: Cashmere-2L).  The home has a
twin, too: what it has told others.  So a row that nobody wrote is never sent again, and what the home's own
workers write needs no message to be noticed.

A *version* counts the changes of a stripe.  At home it is the truth; elsewhere it is what the replica has.  A
node that pushes a change adds the one that the home will add, so that it is not sent back what it wrote itself:
the two are equal if and only if nobody else has changed the stripe.

*Pushed* is, elsewhere, the number of the last message that took a change of the stripe home.  An answer that
the home gave before it had that message is old, and must not undo it (`merge`).

All of this is changed only inside the node's `merging` lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.diff import Diff, Spans, apply, apply_two_ways, changes, read_positions, unit_of, units, write_positions
from pydsm.core.layout import Description
from pydsm.core.region import Intervals
from pydsm.ipc import segment
from pydsm.mpi.homes import Homes
from pydsm.mpi.pieces import Piece
from pydsm.sync import datasegment
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "Known", "Part", "Replica"]

_BYTE: Final = np.dtype(np.uint8)
_WORD: Final = np.dtype(np.uint64)

Part = tuple[int, int, bytes, bytes]
"""A diff in a message: the array's id, its positions as `write_positions` has them, the values."""
Known = tuple[int, "range | NDArray[Any]", "NDArray[Any]"]
"""Which versions a node has: the array's id, stripes, their versions."""
Block = tuple[int, "NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]
"""Whole stripes in a message: the array's id, their numbers, their versions, their elements."""


class Replica:
    """What a node has of one array, as one of its processes sees it."""

    def __init__(self, namespace: Namespace, description: Description, array_id: int, homes: Homes, node: int) -> None:
        self.array_id, self.homes, self.node = array_id, homes, node
        self.name = description.name
        data = datasegment.attach(namespace.name, description)
        itemsize = unit_of(description.numpy_dtype())
        twin = segment.attach(_twin_name(namespace, self.name), _BYTE)[: data.nbytes]
        words = segment.attach(_words_name(namespace, self.name), _WORD)
        self.data = units(data.reshape(-1).view(np.uint8), itemsize) if data.size else np.zeros(0, np.uint8)
        self.twin = units(twin, itemsize) if data.size else np.zeros(0, np.uint8)
        self.versions, self.pushed = words[: homes.stripes], words[homes.stripes :]
        self.rows, self.block = description.shape[0], description.block
        self.item = itemsize
        """Bytes of an element."""
        self.width = len(self.data) // max(1, self.rows)
        """Elements of a row."""
        self.unit = max(1, description.block * self.width)
        """Elements of a stripe; the last one may have fewer."""

    @staticmethod
    def make(namespace: Namespace, description: Description, nbytes: int, stripes: int) -> None:
        """Make what the processes of a node share of a replica, besides the elements.

        Raises
        ------
        NoRoomError
        """
        segment.create(_twin_name(namespace, description.name), (max(1, nbytes),), _BYTE, **namespace.permissions)
        segment.create(_words_name(namespace, description.name), (2 * stripes,), _WORD, **namespace.permissions)

    @staticmethod
    def files(namespace: Namespace, name: str) -> list[str]:
        """Return the names of what `make` made."""
        return [_twin_name(namespace, name), _words_name(namespace, name)]

    # -- out ------------------------------------------------------------------------

    def changes(self, spans: Spans | None = None) -> Diff:
        """Return what was written here since the homes were told."""
        return changes(self.data, self.twin, spans)

    def spans_of_rows(self, rows: Intervals) -> list[tuple[int, int]]:
        """Return which elements rows have."""
        return [(int(start) * self.width, int(stop) * self.width) for start, stop in rows]

    def spans_of_stripes(self, stripes: range) -> list[tuple[int, int]]:
        """Return which elements neighbouring stripes have."""
        return [(stripes.start * self.unit, min(stripes.stop * self.unit, len(self.data)))] if stripes else []

    def still_changed(self, found: Diff) -> Iterator[tuple[int, Diff]]:
        """Return changes that were found and are so still, by home: what a sibling has told meanwhile goes first."""
        still = changes_at(self.data, self.twin, found)
        if not len(still):
            return
        first = self.homes.node_of(int(still.positions[0]) // self.unit)
        if int(still.positions[-1]) < self.homes.bounds[first + 1] * self.unit:  # all at one home
            yield first, still
            return
        stripes = still.positions // self.unit
        homes = np.searchsorted(self.homes.bounds, stripes, side="right") - 1
        for home in np.unique(homes).tolist():
            yield home, still.where(homes == home)

    def known(self, stripes: range | NDArray[Any]) -> Known:
        """Return which versions of stripes are here, for a message."""
        which = slice(stripes.start, stripes.stop) if isinstance(stripes, range) else stripes
        return self.array_id, stripes, self.versions[which].copy()

    def mark_told(self, diff: Diff, number: int) -> None:
        """Note that changes are known: at home (0), or to the home by a message of this number.

        Who looks without the lock must not find the twin alike before the version says so.
        """
        stripes = self._stripes_of(diff)
        if number:
            self.pushed[stripes] = number
        self.versions[stripes] += np.uint64(1)
        apply(self.twin, diff)

    def write(self, diff: Diff) -> Part:
        """Return a diff as it goes into a message."""
        runs, positions = write_positions(diff.positions)
        return self.array_id, runs, positions.tobytes(), diff.values.tobytes()

    # -- in -------------------------------------------------------------------------

    def receive(self, part: Part) -> None:
        """At home: bring another node's changes in."""
        _, runs, numbers, values = part
        elements = np.frombuffer(values, self.data.dtype).reshape(-1, *self.data.shape[1:])
        diff = Diff(read_positions(runs, np.frombuffer(numbers, np.int64)), elements)
        apply(self.data, diff)
        apply(self.twin, diff)
        self.versions[self._stripes_of(diff)] += np.uint64(1)

    def collect(self, stripes: NDArray[Any], known: Sequence[int] | NDArray[Any]) -> Block | None:
        """At home: return those of the stripes whose version is not the known one; None if there are none."""
        versions = self.versions[stripes]  # before the elements: who has new ones as old ones gets them once more
        newer = versions != known
        if not newer.any():
            return None
        stripes = stripes[newer]
        parts = [self.data[start:stop] for start, stop in self._runs(stripes)]
        return self.array_id, stripes, versions[newer], np.concatenate(parts) if len(parts) > 1 else parts[0].copy()

    def merge(self, block: Block, applied: int) -> NDArray[Any]:
        """Bring in what a home has; return the stripes of which the answer is too old.

        Parameters
        ----------
        block : Block
        applied : int
            Number of the last message of this node that the home had when it answered.
        """
        _, stripes, versions, elements = block
        old = self.pushed[stripes] > np.uint64(applied)
        wanted = ~old & (versions > self.versions[stripes])  # else a sibling has merged what is newer
        place = 0
        for stripe, version, take in zip(stripes.tolist(), versions.tolist(), wanted.tolist(), strict=True):
            start, stop = stripe * self.unit, min((stripe + 1) * self.unit, len(self.data))
            new = elements[place : place + stop - start]
            place += stop - start
            if take:
                found = changes(new, self.twin[start:stop])
                apply_two_ways(self.data, self.twin, Diff(found.positions + start, found.values))
                self.versions[stripe] = version
        return stripes[old]

    # -- in bulk ----------------------------------------------------------------------

    def put(self, piece: Piece, values: NDArray[Any], number: int) -> None:
        """Write what the home is told by a message of this number, or what is home here (0)."""
        stripes = piece.stripes(self.unit)
        if number:
            self.pushed[stripes] = number
            self.versions[stripes] += np.uint64(1)
            piece.write(self.data, values)
        else:
            piece.write(self.data, values)
            self.versions[stripes] += np.uint64(1)
        piece.write(self.twin, values)

    def overwrite(self, piece: Piece, values: NDArray[Any]) -> None:
        """At home: bring in what another node puts."""
        piece.write(self.data, values)
        piece.write(self.twin, values)
        self.versions[piece.stripes(self.unit)] += np.uint64(1)

    # -- stripes ----------------------------------------------------------------------

    def _stripes_of(self, diff: Diff) -> NDArray[Any]:
        stripes = diff.positions // self.unit
        if len(stripes) == 0 or stripes[0] == stripes[-1]:
            return stripes[:1]
        return stripes[np.concatenate(([True], np.diff(stripes) != 0))]

    def _runs(self, stripes: NDArray[Any]) -> Iterator[tuple[int, int]]:
        """Yield the elements of ascending stripes, neighbours together."""
        breaks = np.flatnonzero(np.diff(stripes) != 1) + 1
        for run in np.split(stripes, breaks):
            yield int(run[0]) * self.unit, min((int(run[-1]) + 1) * self.unit, len(self.data))


def changes_at(data: NDArray[Any], twin: NDArray[Any], found: Diff) -> Diff:
    """Return which of the elements that were found changed are so still, with what they are now."""
    values = data[found.positions]
    differ = np.not_equal(values, twin[found.positions])
    differ = np.any(differ, axis=1) if differ.ndim == 2 else differ
    return Diff(found.positions[differ], values[differ])


def _twin_name(namespace: Namespace, name: str) -> str:
    return names.observe_name(namespace.name, f"twin.{name}")


def _words_name(namespace: Namespace, name: str) -> str:
    return names.observe_name(namespace.name, f"versions.{name}")
