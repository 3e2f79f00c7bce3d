"""Named locks that tell observers."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

from pydsm.core.events import observers, scheduler
from pydsm.errors import LockTimeoutError
from pydsm.sync.lock import Lock
from pydsm.sync.locktable import deadline_of

__all__ = ["ObservedLock"]

from pydsm.observed.holds import LockHold


class ObservedLock(Lock):
    """A named lock that tells observers."""

    def acquire(self, block: bool = True, timeout: float | None = None, *, recover: bool = False) -> bool:
        """Take the lock; say whether it was had; see `Lock.acquire`."""
        if scheduler() is None or not block or not timeout:
            return super().acquire(block, timeout, recover=recover)
        deadline_of(timeout)
        try:
            self.acquire_until(math.inf, recover)  # it is the scheduler who says when that time is over
        except LockTimeoutError:
            return False
        return True

    apply = acquire

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
