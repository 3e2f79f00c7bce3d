"""A region, or several entered as one, with observers around entering and leaving."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pydsm.core.events import Hold, observers, scheduler
from pydsm.errors import LockTimeoutError
from pydsm.native import Region, RegionGroup
from pydsm.sync.locktable import deadline_of

__all__ = ["ObservedRegion"]


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
