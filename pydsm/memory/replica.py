"""The replica of one array in one worker: private pages where the shared ones were.

The worker has an array mapped before it becomes one with replicas; views of it, closures and
handles point there.  So the same file is mapped again *at the same address*, privately: what
was there is there still, but a page that the worker writes from now on becomes its own.
A second private mapping is the twin, a shared one the home.  Pages that nobody wrote are
the home's own, in all three; they change only while no worker looks.  Before they do, each page of
the twin becomes the worker's own where the replica's is (a write that changed no bit is
enough for that): else the twin would show the new home and the replica the old one, which would
look as if the worker had written the old values.  Where the replica's page is the home's,
it shows what it has to, whatever the twin says.

A process may have an array mapped twice, once so that it cannot be written.  Both must show
the same replica, which private pages cannot do: there the replica is a file of its own
without a name, mapped shared in both places, and a whole copy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.diff import Diff, Spans, apply, apply_two_ways, changes, positions_in, units
from pydsm.core.place import address_of
from pydsm.ipc import mapping, shm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.core.layout import Description
    from pydsm.sync.namespace import Namespace

__all__ = ["Replica"]

_FEW: Final = 1 << 15  # bytes that are compared faster than the kernel says which pages to compare


class Replica:
    """What this worker sees of one array.

    Parameters
    ----------
    namespace : Namespace
    root : GlobalArray
        The whole array, mapped in this process; it is kept.
    description : Description
    array_id : int

    Raises
    ------
    FileNotFoundError
        The array has lost its name: nobody can come to have it any more.
    """

    def __init__(self, namespace: Namespace, root: Any, description: Description, array_id: int) -> None:
        self.name, self.array_id = description.name, array_id
        self.itemsize = root.itemsize
        self.nbytes, self.size = root.nbytes, root.size
        self.elements_of_row = root.size // len(root)
        self._roots = [root]
        self._address = address_of(root)
        self._own: int | None = None  # the file of a replica that is a copy
        self._kept = False  # all pages of the twin are this process's own
        descriptor = _open(namespace, root, description)
        try:
            self.home = self._units(mapping.map_shared(descriptor, self.nbytes))
            self._twin_memory = mapping.map_private(descriptor, self.nbytes)
            self._twin = self._units(self._twin_memory)
            if _is_writable(root):
                mapping.private_in_place(descriptor, self._address, self.nbytes)
                self._replica = self._units(mapping.memory_at(self._address, self.nbytes))
            else:
                self._replica = self.home
                self._copy()
        finally:
            os.close(descriptor)

    def add(self, root: Any) -> None:
        """Take over another mapping of the array in this process."""
        if all(address_of(root) != address_of(known) for known in self._roots):
            self._roots.append(root)
            self._copy()

    def _copy(self) -> None:
        """Let the replica be a file of its own, in all places where this process has the array."""
        if self._own is None:
            self._keep_twin(slice(None))
            self._own = shm.new_file(self.nbytes)
            copy = self._units(mapping.map_shared(self._own, self.nbytes))
            copy[...] = self._replica
            self._replica = copy
        for root in self._roots:
            mapping.shared_in_place(self._own, address_of(root), self.nbytes, writable=_is_writable(root))

    def _units(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        return units(memory, self.itemsize)

    # -- pushing -----------------------------------------------------------------

    def changes(self, spans: Spans | None = None) -> Diff:
        """Return what this worker wrote here since it was published last, or of that what is in the spans."""
        size = len(self._replica) if spans is None else sum(stop - start for start, stop in spans)
        if size * self.itemsize <= _FEW or self._own is not None:
            return changes(self._replica, self._twin, spans)
        own = mapping.own_pages(self._address, self.nbytes)
        if own is None:
            return changes(self._replica, self._twin, spans)
        found = changes(self._replica, self._twin, self._spans_of(own))
        return found if spans is None else found.where(positions_in(found.positions, spans))

    def published(self, diff: Diff) -> None:
        """Remember that others can have these values now."""
        apply(self._twin, diff)

    def _spans_of(self, pages: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Return the elements that lie, if only in part, in some of the pages."""
        edges = np.flatnonzero(np.diff(pages, prepend=False, append=False)) * mapping.PAGE
        spans: list[tuple[int, int]] = []
        for start, stop in edges.reshape(-1, 2).tolist():
            first, last = start // self.itemsize, min(-(-stop // self.itemsize), len(self._replica))
            spans.append((max(first, spans[-1][1] if spans else 0), last))
        return spans

    def settle(self, *, alone: bool) -> None:
        """Get ready for a change of the home; `alone`: no other thread may write the replica meanwhile."""
        if self._kept:
            return
        few = self.nbytes <= _FEW or not alone
        own = None if few else mapping.own_pages(self._address, self.nbytes)
        twins = None if own is None else mapping.own_pages(address_of(self._twin_memory), self.nbytes)
        self._keep_twin(slice(None) if own is None or twins is None else np.flatnonzero(own & ~twins))

    def _keep_twin(self, pages: slice | NDArray[np.intp]) -> None:
        """Make pages of the twin this process's own."""
        first = self._twin_memory[:: mapping.PAGE]  # a byte of each
        first[pages] = first[pages].copy()  # NumPy does not copy an array to itself
        self._kept = isinstance(pages, slice)

    # -- pulling -----------------------------------------------------------------

    def pull(self, diff: Diff) -> None:
        """Bring in what another worker published, except where this one has written itself."""
        apply_two_ways(self._replica, self._twin, diff)

    def peek(self) -> list[Any]:
        """Return the elements as this worker sees them: numbers, or what else they are as text."""
        whole = np.asarray(self._roots[0])
        shown: list[Any] = (whole if whole.dtype.kind in "biuf" else _as_text(whole)).tolist()
        return shown


def _as_text(array: NDArray[Any]) -> NDArray[Any]:
    text = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        text[index] = str(array[index])
    return text


def _is_writable(root: Any) -> bool:
    """Say whether a mapping may be written, whatever NumPy has been told of the array."""
    return root.base is None or bool(root.base.flags.writeable)


def _open(namespace: Namespace, root: Any, description: Description) -> int:
    """Open the file that an array is mapped from, by name."""
    if description.file is not None:
        descriptor = shm.open_path(description.file, readonly=False)
    else:
        descriptor = shm.open_checked(names.data_name(namespace.name, description.name), shared=namespace.is_shared)
    found = os.fstat(descriptor)
    if root._place is None or root._place[0] is None or root._place[0][1:3] != (found.st_ino, found.st_dev):
        os.close(descriptor)
        raise FileNotFoundError(f"array {description.name!r} has been removed")
    return descriptor
