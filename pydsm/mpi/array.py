"""`MpiArray`: an array of a team that is on several nodes.

Indexing, slicing and arithmetic are NumPy's on the node's replica, as on one machine.  What this class changes is
where atomic operations are done: at the element's home, where the processor makes them atomic for everybody.  In
the parent, when nobody runs, everything is done on the replica.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm import native
from pydsm.accumulate import accumulate, planned
from pydsm.array import root_of
from pydsm.blocks import check_out
from pydsm.core.events import observers
from pydsm.core.place import address_of
from pydsm.core.region import RowKey
from pydsm.errors import WaitTimeoutError
from pydsm.handles import attach, pickle_as_handle
from pydsm.mpi import bulk
from pydsm.mpi.engine import Engine
from pydsm.mpi.pieces import select
from pydsm.mpi.region import homed_region
from pydsm.mpi.values import Values
from pydsm.native import HomedRegion
from pydsm.observed import ObservedArray, ObservedRegion
from pydsm.sync.locktable import deadline_of
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MpiArray", "element_at", "engine", "whole_array"]


def engine() -> Engine | None:
    """Return what does the work of several nodes in this process; None in the parent."""
    chain = observers()
    return chain[0] if chain and isinstance(chain[0], Engine) else None


def whole_array(namespace: Namespace, name: str) -> Any:
    """Return a whole array that may be changed here, guarded or not: for the server, which acts for others."""
    array = root_of(attach(f"{namespace.name}/{name}"))
    array.flags.writeable = True
    return array


def element_at(root: Any, offset: int, dtype: np.dtype[Any]) -> Any:
    """Return one element of a whole array as an array without axes."""
    return np.ndarray.__new__(type(root), (), dtype, root.reshape(-1).view(np.uint8), offset)


def _atomic(operation: Callable[..., Any], *, writes: bool = True) -> Any:
    """Return an atomic operation that is done at the element's home."""

    @functools.wraps(operation)
    def call(self: MpiArray, index: Any, *values: Any, **named: Any) -> Any:
        working = engine()
        if working is None or not _is_element(self, index):
            return operation(self, index, *values, **named)  # says what is wrong with the index
        if writes and not self.flags.writeable:
            native.refuse_readonly(self)
        op = operation.__name__
        home, where = _place(working, self, index)
        values += tuple(named[name] for name in ("value", "expected", "new") if name in named)
        replica = working.node.by_name[where[0]]
        return working.operate(replica, home, where, op, values, lambda: operation(self, index, *values))

    return call


class MpiArray(ObservedArray):
    """A shared array whose rows have their homes on several nodes; made by teams that work there."""

    __slots__ = ()

    def locked(  # type: ignore[override]
        self,
        rows: RowKey = None,
        *,
        shared: bool = False,
        timeout: float | None = None,
        fence: bool = False,
        undo: bool = False,
        recover: bool = False,
    ) -> ObservedRegion | HomedRegion:
        """Hold rows while inside ``with``; see `GlobalArray.locked`."""
        if not fence and not undo:
            region = native.locked(self, rows, shared=shared, timeout=timeout, recover=recover)
            working = engine()
            homed = None if working is None else homed_region(working, region)
            if homed is not None:
                return homed
        return super().locked(rows, shared=shared, timeout=timeout, fence=fence, undo=undo, recover=recover)

    fetch_add = _atomic(native.fetch_add)
    fetch_min = _atomic(native.fetch_min)
    fetch_max = _atomic(native.fetch_max)
    fetch_and = _atomic(native.fetch_and)
    fetch_or = _atomic(native.fetch_or)
    fetch_xor = _atomic(native.fetch_xor)
    swap = _atomic(native.swap)
    compare_and_swap = _atomic(native.compare_and_swap)
    load_acquire = _atomic(native.load_acquire, writes=False)
    store_release = _atomic(native.store_release)

    def accumulate(self, rows: RowKey, values: ArrayLike, op: str = "add") -> None:
        """Combine values into rows, every element atomically; see `GlobalArray.accumulate`."""
        working = engine()
        if working is None:
            accumulate(self, rows, values, op)
            return
        positions, given = _updates(self, rows, values, op)
        if len(positions) == 0:
            return
        whole = root_of(self).view()
        whole.flags.writeable = True
        flat: Any = whole.reshape(-1)
        replica = working.node.by_name[self._table.name]
        working.accumulate(replica, positions, given, lambda where, what: accumulate(flat, where, what, op), op)

    def get(self, rows: RowKey = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a private copy of rows as they are at home, without a lock; see `GlobalArray.get`."""
        working, chosen = engine(), select(self, rows)
        if working is None or chosen is None:
            return super().get(rows, out)
        if out is not None:
            check_out(out, chosen.shape, self.dtype)
        replica = working.node.replicas[self._table.array_id]
        return bulk.get(working.client, replica, chosen, self.dtype, out)

    def put(self, rows: RowKey, values: ArrayLike, mode: Any = None) -> None:
        """Write rows, without a lock; they are complete at home when this returns; see `GlobalArray.put`."""
        working, chosen = engine(), None
        if working is not None and mode is None and self.flags.writeable:
            chosen = select(self, rows)
        given = None if chosen is None else Values.fitted(values, chosen, self.dtype, self)
        if working is None or chosen is None or given is None:
            super().put(rows, values, mode)
            return
        replica = working.node.replicas[self._table.array_id]
        bulk.put(working.client, replica, chosen, given)

    def wait_until(self, index: Any, op: str, value: Any, timeout: float | None = None) -> Any:
        """Wait until one element compares with a value as asked; see `GlobalArray.wait_until`."""
        working = engine()
        if working is None or not _is_element(self, index):
            return native.wait_until(self, index, op, value, timeout)
        native.watch_element(self, index, op, value)  # says what is wrong with it
        deadline = deadline_of(timeout)
        home, where = _place(working, self, index)
        working.release_all(but=None if home == working.node.index else home)
        if home == working.node.index:
            found = native.wait_until(self, index, op, value, timeout)
            working.acquire_all()
            return found
        seen, found = working.watch(home, where, op, value, deadline)
        if not seen:
            raise WaitTimeoutError(
                f"element {index!r} of array {self.name!r} did not become {op} {value!r} in time", name=self.name
            )
        return found


# What a program prints is the same on one node and on several.
MpiArray.__name__ = "GlobalArray"
pickle_as_handle(MpiArray)


def _is_element(array: MpiArray, index: Any) -> bool:
    """Say whether an index names one element of the array."""
    key = index if isinstance(index, tuple) else (index,)
    if len(key) != array.ndim:
        return False
    for place, count in zip(key, array.shape, strict=True):
        if isinstance(place, (bool, np.bool_)) or not hasattr(place, "__index__") or np.ndim(place):
            return False
        if not -count <= int(place) < count:
            return False
    return True


def _place(working: Engine, array: MpiArray, index: Any) -> tuple[int, tuple[Any, ...]]:
    """Return the home of an element, and how to find it there."""
    key = index if isinstance(index, tuple) else (index,)
    places = [range(count)[int(place)] for place, count in zip(key, array.shape, strict=True)]
    start = address_of(array) - address_of(root_of(array))
    offset = start + sum(place * stride for place, stride in zip(places, array.strides, strict=True))
    table = array._table
    replica = working.node.by_name[table.name]
    position = offset // table.description.numpy_dtype().itemsize
    stripe = replica.stripe_of(position)
    return replica.homes.node_of(stripe), (table.name, offset, array.dtype, np.array([stripe]))


def _updates(array: MpiArray, rows: RowKey, values: ArrayLike, op: str) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return updates of elements of the flattened whole array: their positions, a value for each or one for all."""
    index, given = planned(array, rows, values, op)
    root = root_of(array)
    if array.dtype != root.dtype:
        raise TypeError(f"accumulate on several nodes takes array {array.name!r} with its own dtype {root.dtype}")
    if array.ndim == 1:
        offsets = index * array.strides[0]
    else:
        every = np.meshgrid(index, *map(np.arange, array.shape[1:]), indexing="ij") if array.ndim else []
        offsets = sum((axis * stride for axis, stride in zip(every, array.strides, strict=True)), np.zeros((), np.intp))
    positions = (address_of(array) - address_of(root) + np.asarray(offsets).reshape(-1)) // root.itemsize
    if given.size and not any(given.strides):
        return positions, given.reshape(-1)[:1].copy()
    return positions, np.ascontiguousarray(given).reshape(-1)
