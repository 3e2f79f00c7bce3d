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
the home gave before it had that message is old, and must not undo it.

All of this is changed in native code only (`pydsm.native.Twins`), inside the latch of the stripe's home.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.diff import unit_of, units
from pydsm.core.layout import Description
from pydsm.ipc import segment
from pydsm.mpi.committed import SMALL, Committed
from pydsm.mpi.homes import Homes
from pydsm.native import Twins
from pydsm.sync import datasegment
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "Known", "Replica", "Some", "distinct", "neighbours"]

_BYTE: Final = np.dtype(np.uint8)
_WORD: Final = np.dtype(np.uint64)

Some = tuple[Twins, int, int] | tuple[Twins, "NDArray[Any]"]
"""Some stripes of an array: the first and the one behind the last, or their numbers."""
Known = tuple[int, bytes]
"""Which versions a node has: the array's id, and `Twins.wish`."""
Block = tuple[int, bytes]
"""Whole stripes: the array's id, and `Twins.collect`."""


class Replica:
    """What a node has of one array, as one of its processes sees it."""

    def __init__(self, namespace: Namespace, description: Description, array_id: int, homes: Homes, node: int) -> None:
        self.array_id, self.homes, self.node = array_id, homes, node
        self.name = description.name
        dtype = description.numpy_dtype()
        data = datasegment.attach(namespace.name, description).reshape(-1).view(np.uint8)
        twin = segment.attach(_twin_name(namespace, self.name), _BYTE)[: data.nbytes]
        words = segment.attach(_words_name(namespace, self.name), _WORD)
        self.dtype, self.block = dtype, description.block
        self.itemsize = max(1, dtype.itemsize)
        row = data.nbytes // max(1, description.shape[0])
        self.width = row // unit_of(dtype)
        """Elements of a row."""
        self.stripe_bytes = max(dtype.itemsize, description.block * row, 1)
        self.item = unit = unit_of(dtype)
        self.data, self.twin, self.pushed = units(data, unit), units(twin, unit), words[homes.stripes :]
        """Elements as they are compared, for `pydsm.mpi.bulk`, which reads them only."""
        self.twins = Twins(
            array_id, data, twin, words[: homes.stripes], words[homes.stripes :], unit, self.stripe_bytes
        )
        self.committed: Committed | None = None
        """Which stripes exist, of an array that takes memory only as it is touched."""
        if data.nbytes >= SMALL and not description.huge:
            file = names.data_name(namespace.name, self.name)
            self.committed = Committed(file, data.nbytes, self.stripe_bytes, shared=namespace.is_shared)

    @staticmethod
    def make(namespace: Namespace, description: Description, nbytes: int, stripes: int) -> None:
        """Make what the processes of a node share of a replica, besides the elements.

        Raises
        ------
        NoRoomError
        """
        name, more, lazy = description.name, namespace.permissions, nbytes >= SMALL and not description.huge
        segment.create(_twin_name(namespace, name), (max(1, nbytes),), _BYTE, lazy=lazy, **more)
        segment.create(_words_name(namespace, name), (2 * stripes,), _WORD, lazy=lazy, **more)

    @staticmethod
    def files(namespace: Namespace, name: str) -> list[str]:
        """Return the names of what `make` made."""
        return [_twin_name(namespace, name), _words_name(namespace, name)]

    def stripe_of(self, position: int) -> int:
        """Return the stripe that an element of the flattened array is in."""
        return position * self.itemsize // self.stripe_bytes

    def stripes_of(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the ascending stripes that elements of the flattened array are in."""
        return distinct(positions * self.itemsize // self.stripe_bytes)

    def existing(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield which of some elements, counted as `data` has them, may have been touched here.

        The others are zero, and to look costs memory.
        """
        if self.committed is None:
            yield first, stop
            return
        unit = self.stripe_bytes // self.item
        for begin, end in self.committed.within([(first // unit, -(-stop // unit))]):
            yield max(first, begin * unit), min(stop, end * unit)

    def read(self, first: int, to: NDArray[np.uint8]) -> None:
        """Copy neighbouring elements as they are here, each in one piece."""
        stop = first + len(to) // self.item
        there = list(self.existing(first, stop))
        if there != [(first, stop)]:
            to[:] = 0
        for begin, end in there:
            self.twins.read(begin, to[(begin - first) * self.item : (end - first) * self.item])

    def by_home(self, stripes: NDArray[Any]) -> dict[int, NDArray[Any]]:
        """Return which of ascending stripes have which home."""
        if not len(stripes):
            return {}
        first = self.homes.node_of(int(stripes[0]))
        if int(stripes[-1]) < self.homes.bounds[first + 1]:  # all at one home, as nearly always
            return {first: stripes}
        homes = np.searchsorted(self.homes.bounds, stripes, side="right") - 1
        return {home: stripes[homes == home] for home in np.unique(homes).tolist()}


def distinct(stripes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return stripes in ascending order, none twice.

    Examples
    --------
    >>> distinct(np.array([1, 1, 4])).tolist(), distinct(np.array([4, 1, 4])).tolist()
    ([1, 4], [1, 4])
    """
    before, behind = stripes[:-1], stripes[1:]
    if (before > behind).any():
        return np.unique(stripes)
    return stripes[np.concatenate(([True], before != behind))]  # sorted already, as nearly always


def neighbours(stripes: NDArray[Any]) -> tuple[Any, ...]:
    """Return ascending stripes as the first and the one behind the last, if they are neighbours."""
    first, stop = int(stripes[0]), int(stripes[-1]) + 1
    return (first, stop) if stop - first == len(stripes) else (stripes,)


def _twin_name(namespace: Namespace, name: str) -> str:
    return names.observe_name(namespace.name, f"twin.{name}")


def _words_name(namespace: Namespace, name: str) -> str:
    return names.observe_name(namespace.name, f"versions.{name}")
