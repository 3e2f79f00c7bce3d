"""Arrays, locks and barriers that tell observers what a worker does with them.

They are what a team has that was asked for more than results (see `pydsm.core.events`).  Each call
does what the plain one does, and calls the process's observers around it; where there are
none, as in the parent, it is the plain call.

With a scheduler nothing here sleeps: what would wait is tried, and the scheduler lets
others run until it succeeds.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import numpy as np

from pydsm import native
from pydsm.accumulate import accumulate
from pydsm.array import GlobalArray, root_of, rows_of
from pydsm.core.events import Atomic, Hold, Observer, observe, observers, scheduler
from pydsm.core.place import address_of
from pydsm.core.region import RowKey, intervals_of, move
from pydsm.errors import LockTimeoutError, WaitTimeoutError
from pydsm.native import Region, RegionGroup, Watch
from pydsm.sync.barrier import Barrier
from pydsm.sync.lock import Lock
from pydsm.sync.locktable import LockTable, deadline_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ObservedArray", "ObservedBarrier", "ObservedLock", "ObservedRegion", "RegionHold", "observed_pieces"]

_NOTHING: Final = np.zeros((0, 2), np.intp)
_ONLY: Final = np.zeros(1, np.intp)
_Result = TypeVar("_Result")

# A child that a worker forks is no worker: nobody observes it.
os.register_at_fork(after_in_child=lambda: observe(()))


class RegionHold:
    """Rows of one array as a region has them; see `Hold`."""

    __slots__ = ("array", "array_id", "fence", "key", "name", "recover", "region", "shared", "table")

    def __init__(self, array: GlobalArray, region: Region, *, fence: bool, recover: bool) -> None:
        table: LockTable = region.locks.policy
        self.table = table
        self.array, self.region, self.key = array, region, region.key
        self.name, self.array_id = table.name, table.array_id
        self.shared, self.fence, self.recover = region.shared, fence, recover

    @property
    def stripes(self) -> NDArray[Any]:
        """Ascending numbers of the stripes."""
        return self.region.stripes()

    @property
    def rows(self) -> NDArray[Any]:
        """Rows of the whole array, as intervals."""
        return rows_in(self.array, self.key)


class LockHold:
    """A named lock that is held; see `Hold`."""

    __slots__ = (
        "array",
        "array_id",
        "deadline",
        "fence",
        "key",
        "name",
        "recover",
        "rows",
        "shared",
        "stripes",
        "table",
    )

    def __init__(self, table: LockTable, *, recover: bool = False, deadline: float | None = None) -> None:
        self.table, self.deadline = table, deadline
        self.name, self.array_id = table.name, table.array_id
        self.array, self.key = None, None
        self.shared, self.fence, self.recover = False, False, recover
        self.rows, self.stripes = _NOTHING, _ONLY


class ElementAtomic:
    """An atomic operation of one array; see `Atomic`."""

    __slots__ = ("array", "array_id", "key", "name", "op", "writes")

    def __init__(self, array: GlobalArray, op: str, key: Any) -> None:
        table = array._table
        self.array, self.op, self.key = array, op, key
        self.name, self.array_id = table.name, table.array_id
        self.writes = op not in ("load_acquire", "wait_until")

    @property
    def elements(self) -> NDArray[Any]:
        """Positions in the flattened whole array; none if there are no such elements, which the operation says."""
        try:
            return elements_of(self.array, self.key, rows=self.op == "accumulate")
        except (IndexError, TypeError, ValueError):
            return _ONLY[:0]


def rows_in(array: GlobalArray, key: RowKey) -> NDArray[Any]:
    """Return which rows of the whole array the rows of an array or a view are."""
    rows = rows_of(array)
    if type(key) is int and rows.step == 1 and -rows.count <= key < rows.count:
        row = rows.origin + key % rows.count
        return np.array([[row, row + 1]])
    intervals = intervals_of(key, rows.count, array.name or "")
    if len(intervals) == 0:
        return _NOTHING
    if rows.step == 0:
        return np.array([[rows.origin, rows.origin + rows.span]])[: min(1, rows.span)]
    return move(intervals, rows.origin, rows.step)


def elements_of(array: GlobalArray, key: Any, *, rows: bool) -> NDArray[Any]:
    """Return the positions of an element, or of all elements of rows, in the flattened whole array."""
    root = root_of(array)
    if rows:
        which = np.arange(len(array))[slice(None) if key is None or key is Ellipsis else key] if array.ndim else [0]
        index = [np.unique(which), *map(np.arange, array.shape[1:])][: array.ndim]
        grid: Sequence[Any] = np.meshgrid(*index, indexing="ij") if index else []
    else:
        grid = _place(array, key)
    offsets = sum((axis * stride for axis, stride in zip(grid, array.strides, strict=True)), np.zeros((), np.intp))
    positions = (address_of(array) - address_of(root) + offsets) // root.itemsize
    return np.unique(np.atleast_1d(positions).astype(np.intp))


def _place(array: GlobalArray, key: Any) -> list[int]:
    index = key if isinstance(key, tuple) else (key,)
    return [range(count)[operator.index(place)] for place, count in zip(index, array.shape, strict=True)]


# -- regions ---------------------------------------------------------------------


class ObservedRegion:
    """A region, or several entered as one, with observers around entering and leaving.

    Parameters
    ----------
    region : Region or RegionGroup
        What is entered; without ``undo``.
    holds : sequence of Hold
    saving : Region or RegionGroup, optional
        The same once more, with ``undo``: entered inside, when the rows are up to date.
    """

    __slots__ = ("_holds", "_region", "_saving", "_shown")

    def __init__(
        self, region: Region | RegionGroup, holds: Sequence[Hold], saving: Region | RegionGroup | None = None
    ) -> None:
        self._region, self._holds, self._saving = region, holds, saving
        self._shown = region if saving is None else saving

    def __enter__(self) -> Any:
        chain = observers()
        if not chain:
            return self._shown.__enter__()
        holds = self._holds
        for observer in chain:
            observer.acquiring(holds)
        try:
            view = self._take()
            try:
                for observer in chain:
                    observer.acquired(holds)
                if self._saving is not None:
                    self._saving.__enter__()
            except BaseException:
                self._region.__exit__(*sys.exc_info())
                raise
        except BaseException:
            for observer in chain:
                observer.not_acquired(holds)
            raise
        return view

    def _take(self) -> Any:
        decides, region = scheduler(), self._region
        if decides is None or region.timeout == 0:
            return region.__enter__()
        timeout, views = region.timeout, []
        deadline_of(timeout)

        def attempt() -> bool:
            region.timeout = 0
            try:
                views.append(region.__enter__())
            except LockTimeoutError:
                return False
            finally:
                region.timeout = timeout
            return True

        if not decides.wait(attempt, repr(self), timed=timeout is not None):
            region.timeout = 0
            try:
                return region.__enter__()  # says who holds it
            finally:
                region.timeout = timeout
        return views[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        chain, holds = observers(), self._holds
        if not chain:
            self._shown.__exit__(kind, error, trace)
            return
        try:
            if self._saving is not None:
                self._saving.__exit__(kind, error, trace)
            for observer in chain:
                observer.releasing(holds, failed=kind is not None)
        except BaseException as problem:
            kind, error, trace = type(problem), problem, problem.__traceback__
            raise
        finally:
            self._region.__exit__(kind, error, trace)
            for observer in chain:
                observer.released(holds)

    def held(self) -> bool:
        """Say whether this thread holds all the rows, in this mode or a stronger one."""
        return self._region.held()  # type: ignore[union-attr]

    @property
    def timeout(self) -> float | None:
        """Seconds that entering may wait."""
        return self._region.timeout

    @timeout.setter
    def timeout(self, timeout: float | None) -> None:
        self._region.timeout = timeout
        if self._saving is not None:
            self._saving.timeout = timeout

    @property
    def recovered(self) -> list[str]:
        """Who died inside the rows that this region has taken over."""
        return self._region.recovered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._region, name)

    def __repr__(self) -> str:
        return repr(self._region)


def observed_region(array: GlobalArray, rows: RowKey, options: dict[str, Any]) -> ObservedRegion:
    """Return ``array.locked(rows, **options)`` with observers around it."""
    saving = native.locked(array, rows, **options) if options["undo"] else None
    region = native.locked(array, rows, **{**options, "undo": False})
    hold = RegionHold(array, region, fence=options["fence"], recover=options["recover"])
    return ObservedRegion(region, (hold,), saving)


def observed_pieces(pieces: Iterable[range]) -> Iterator[range]:
    """Yield the pieces of a share, telling observers before each is taken."""
    taking = iter(pieces)
    while True:
        for observer in observers():
            observer.sharing()
        piece = next(taking, None)
        if piece is None:
            return
        yield piece


# -- arrays ----------------------------------------------------------------------


def _atomic(operation: Callable[..., Any]) -> Any:
    """Return an atomic operation with observers around it."""

    @functools.wraps(operation)
    def call(self: ObservedArray, index: Any, *values: Any, **named: Any) -> Any:
        chain = observers()
        if not chain:
            return operation(self, index, *values, **named)
        atomic = ElementAtomic(self, operation.__name__, index)
        return _around(chain, atomic, lambda: operation(self, index, *values, **named))

    return call


def _around(chain: tuple[Observer, ...], atomic: Atomic, operation: Callable[[], _Result]) -> _Result:
    begun: list[Observer] = []
    failed = True
    try:
        for observer in chain:
            begun.append(observer)
            observer.atomic_begins(atomic)
        result = operation()
        failed = False
        return result
    finally:
        _end(begun, atomic, failed=failed)


def _end(begun: list[Observer], atomic: Atomic, *, failed: bool) -> None:
    """Tell all of them, the last first, whatever one of them raises."""
    while begun:
        observer = begun.pop()
        try:
            observer.atomic_ended(atomic, failed=failed)
        except BaseException:
            _end(begun, atomic, failed=True)
            raise


class ObservedArray(GlobalArray):
    """A shared array whose synchronisation is told to observers; made by teams that have some."""

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
    ) -> ObservedRegion:
        """Hold rows while inside ``with``; see `GlobalArray.locked`."""
        options = {"shared": shared, "timeout": timeout, "fence": fence, "undo": undo, "recover": recover}
        return observed_region(self, rows, options)

    def fence(self, rows: RowKey = None) -> None:
        """Make my earlier writes complete, and see what was complete before; see `GlobalArray.fence`."""
        super().fence(rows)
        for observer in observers():
            observer.fencing(self, self._table.array_id, rows)

    fetch_add = _atomic(native.fetch_add)
    fetch_min = _atomic(native.fetch_min)
    fetch_max = _atomic(native.fetch_max)
    fetch_and = _atomic(native.fetch_and)
    fetch_or = _atomic(native.fetch_or)
    fetch_xor = _atomic(native.fetch_xor)
    swap = _atomic(native.swap)
    compare_and_swap = _atomic(native.compare_and_swap)
    load_acquire = _atomic(native.load_acquire)
    store_release = _atomic(native.store_release)

    def accumulate(self, rows: RowKey, values: ArrayLike, op: str = "add") -> None:
        """Combine values into rows, every element atomically; see `GlobalArray.accumulate`."""
        chain = observers()
        if not chain:
            accumulate(self, rows, values, op)
            return
        atomic = ElementAtomic(self, "accumulate", rows)
        _around(chain, atomic, lambda: accumulate(self, rows, values, op))

    def wait_until(self, index: Any, op: str, value: Any, timeout: float | None = None) -> Any:
        """Wait until one element compares with a value as asked; see `GlobalArray.wait_until`."""
        chain, decides = observers(), scheduler()
        if not chain:
            return native.wait_until(self, index, op, value, timeout)
        polling = decides is not None or any(observer.moves_data for observer in chain)
        attempt = _Attempt(self, chain, index, op, value, timeout=0 if polling else timeout)
        if not polling or timeout == 0:
            return attempt.once()
        if decides is not None:
            native.watch_element(self, index, op, value)  # says what is wrong with it
            deadline_of(timeout)
            if not decides.wait(attempt.succeeds, repr(attempt), timed=timeout is not None):
                return attempt.once()  # says that it did not come
            return attempt.found
        return attempt.asleep(deadline_of(timeout))


class _Attempt:
    """Looking at an element, atomically, again and again; for `pydsm.sync.watch` it is what is watched."""

    def __init__(
        self,
        array: ObservedArray,
        chain: tuple[Observer, ...],
        index: Any,
        op: str,
        value: Any,
        *,
        timeout: float | None,
    ) -> None:
        self.array, self._chain, self._timeout = array, chain, timeout
        self._asked = index, op, value
        self._watch: Watch | None = None
        self.found: Any = None

    def once(self) -> Any:
        """Wait as long as is allowed, and return the element; WaitTimeoutError if it is not as wanted."""
        atomic = ElementAtomic(self.array, "wait_until", self._asked[0])
        return _around(self._chain, atomic, lambda: native.wait_until(self.array, *self._asked, self._timeout))

    def succeeds(self) -> bool:
        """Look once; say whether it is as wanted."""
        return self.holds() is not None

    def asleep(self, deadline: float | None) -> Any:
        """Look until it is as wanted, asleep in between."""
        self._watch = native.watch_element(self.array, *self._asked)
        return native.wait_asleep(self._watch, self, deadline)

    def holds(self) -> Any:
        """Return the element if it is as wanted, else None."""
        try:
            self.found = self.once()
        except WaitTimeoutError:
            return None
        return self.found

    @property
    def stripe(self) -> int:
        """The stripe of the element."""
        assert self._watch is not None
        return self._watch.stripe

    def enter_lot(self) -> None:
        """Put this thread where it is woken from."""
        assert self._watch is not None
        self._watch.enter_lot()

    def __repr__(self) -> str:
        index, op, value = self._asked
        return f"element {index} of array {self.array.name!r} {op} {value!r}"


# What a program prints is the same with observers and without.
ObservedArray.__name__ = "GlobalArray"


# -- named locks and the barrier ---------------------------------------------------


class ObservedLock(Lock):
    """A named lock that tells observers."""

    def acquire_until(self, deadline: float | None, recover: bool = False) -> None:
        """Take the lock, waiting until `deadline` on the monotonic clock (None: for ever)."""
        chain = observers()
        if not chain:
            super().acquire_until(deadline, recover)
            return
        holds = (LockHold(self._table, recover=recover, deadline=deadline),)
        for observer in chain:
            observer.acquiring(holds)
        try:
            self._take(deadline, recover)
            try:
                for observer in chain:
                    observer.acquired(holds)
            except BaseException:
                self._leave(failed=True)
                raise
        except BaseException:
            for observer in chain:
                observer.not_acquired(holds)
            raise

    def _take(self, deadline: float | None, recover: bool) -> None:
        decides = scheduler()
        if decides is None or (deadline is not None and deadline <= time.monotonic()):
            super().acquire_until(deadline, recover)
            return

        def attempt() -> bool:
            try:
                super(ObservedLock, self).acquire_until(time.monotonic(), recover)
            except LockTimeoutError:
                return False
            return True

        if not decides.wait(attempt, repr(self), timed=deadline is not None):
            super().acquire_until(time.monotonic(), recover)  # says who holds it

    def release(self) -> None:
        """Give the lock back; RuntimeError if this thread does not hold it."""
        self._give(failed=False)

    def _give(self, *, failed: bool) -> None:
        chain = observers()
        if not chain or not self.held():
            super().release()
            return
        holds = (LockHold(self._table),)
        try:
            for observer in chain:
                observer.releasing(holds, failed=failed)
        except BaseException:
            failed = True
            raise
        finally:
            self._leave(failed=failed)
            for observer in chain:
                observer.released(holds)

    def _leave(self, *, failed: bool) -> None:
        super().__exit__(RuntimeError if failed else None, None, None)

    def __enter__(self) -> Self:
        self.acquire_until(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if observers():
            self._give(failed=kind is not None)
        else:
            super().__exit__(kind, error, trace)


class ObservedBarrier(Barrier):
    """The barrier of a worker that is observed."""

    def wait(self, rank: int) -> None:
        """Wait until every worker has come here; see `Barrier.wait`."""
        chain = observers()
        self._first_park = 0.0 if scheduler() is not None else self._first_park
        for observer in chain:
            observer.arriving()
        super().wait(rank)
        for observer in chain:
            observer.met()
        if any(observer.rendezvous for observer in chain):
            super().wait(rank)
        for observer in chain:
            observer.departed()

    def _sleep(self, generation: int) -> None:
        decides = scheduler()
        if decides is None:
            super()._sleep(generation)
        else:
            decides.wait(lambda: self.is_through(generation), "the barrier")
