"""Shared arrays whose synchronisation is told to observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydsm import native
from pydsm.accumulate import accumulate
from pydsm.array import GlobalArray
from pydsm.core.events import observers, scheduler
from pydsm.core.region import RowKey
from pydsm.sync.locktable import deadline_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["ObservedArray"]

from pydsm.observed.atomic import Attempt, around, observed_atomic
from pydsm.observed.holds import ElementAtomic, RegionHold
from pydsm.observed.region import ObservedRegion


class ObservedArray(GlobalArray):
    """A shared array whose synchronisation is told to observers; made by teams that have some."""

    __slots__ = ()

    def _to_save(self) -> GlobalArray:
        """Return what an undo writes to."""
        return self

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
        options: dict[str, Any] = {
            "shared": shared,
            "timeout": timeout,
            "fence": fence,
            "undo": undo,
            "recover": recover,
        }
        saving = native.locked(self._to_save(), rows, **options) if undo else None
        region = native.locked(self, rows, **{**options, "undo": False})
        hold = RegionHold(self, region, fence=fence, recover=recover)
        return ObservedRegion(region, (hold,), saving)

    def fence(self, rows: RowKey = None) -> None:
        """Make my earlier writes complete, and see what was complete before; see `GlobalArray.fence`."""
        super().fence(rows)
        for observer in observers():
            observer.fencing(self, self._table.array_id, rows)

    fetch_add = observed_atomic(native.fetch_add)
    fetch_min = observed_atomic(native.fetch_min)
    fetch_max = observed_atomic(native.fetch_max)
    fetch_and = observed_atomic(native.fetch_and)
    fetch_or = observed_atomic(native.fetch_or)
    fetch_xor = observed_atomic(native.fetch_xor)
    swap = observed_atomic(native.swap)
    compare_and_swap = observed_atomic(native.compare_and_swap)
    load_acquire = observed_atomic(native.load_acquire)
    store_release = observed_atomic(native.store_release)

    def accumulate(self, rows: RowKey, values: ArrayLike, op: str = "add") -> None:
        """Combine values into rows, every element atomically; see `GlobalArray.accumulate`."""
        chain = observers()
        if not chain:
            accumulate(self, rows, values, op)
            return
        atomic = ElementAtomic(self, "accumulate", rows)
        around(chain, atomic, lambda: accumulate(self, rows, values, op))

    def wait_until(self, index: Any, op: str, value: Any, timeout: float | None = None) -> Any:
        """Wait until one element compares with a value as asked; see `GlobalArray.wait_until`."""
        chain, decides = observers(), scheduler()
        if not chain:
            return native.wait_until(self, index, op, value, timeout)
        polling = decides is not None or any(observer.moves_data for observer in chain)
        attempt = Attempt(self, chain, index, op, value, timeout=0 if polling else timeout)
        if not polling or timeout == 0:
            return attempt.once()
        if decides is not None:
            native.watch_element(self, index, op, value)  # says what is wrong with it
            deadline_of(timeout)
            if not decides.wait(attempt.succeeds, repr(attempt), timed=timeout is not None):
                return attempt.once()  # says that it did not come
            return attempt.found
        return attempt.asleep(deadline_of(timeout))


# What a program prints is the same with observers and without.
ObservedArray.__name__ = "GlobalArray"
