"""What a parent does while its workers run: it waits, and says so, and shows how far they are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from pydsm.core.layout import Slot
from pydsm.sync.namespace import Namespace
from pydsm.sync.slots import JOIN

__all__ = ["Bar", "Joining"]

_BAR_SECONDS: Final = 0.1


class Joining:
    """A parent that holds rows while its workers run: it waits for them, and says so.

    Without this a worker that wants those rows would wait for ever; so it is a deadlock
    that the worker can prove.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._slots, self._slot = namespace.slots, namespace.join() - 1
        self._slots.begin_wait(self._slot, JOIN, 0)

    def update(self, alive: Iterable[int]) -> None:
        """Look which workers still run."""
        self._slots.block_on(self._slot, sum(1 << rank for rank in alive))

    def end(self) -> None:
        """Wait no longer."""
        self._slots.end_wait(self._slot)


class Bar:
    """One progress bar for all workers, in the parent."""

    def __init__(self, namespace: Namespace, size: int) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ModuleNotFoundError("progress=True needs tqdm: pip install 'py-dsm[progress]'") from None

        class SteadyBar(tqdm):  # type: ignore[misc]
            monitor_interval = 0  # no thread of its own: the supervisor refreshes it

        self._slots, self._ranks = namespace.slots, range(size)
        self._next = 0.0
        self._bar = SteadyBar(total=0)

    def update(self, alive: Iterable[int] = ()) -> None:
        """Read the workers' counts, ten times a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BAR_SECONDS
        slots, ranks = self._slots, self._ranks
        self._bar.total = sum(slots.get(rank, Slot.TOTAL) for rank in ranks) or None
        self._bar.n = sum(slots.get(rank, Slot.DONE) for rank in ranks)
        self._bar.refresh()

    def close(self) -> None:
        """Show the last count and let the bar stand."""
        self._next = 0.0
        self.update()
        self._bar.close()
