"""The faults by name, and how many of each belong to so many kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.torture.faults.abort import abort
from tests.torture.faults.crowd import crowd
from tests.torture.faults.exits import exits
from tests.torture.faults.interrupts import interrupts
from tests.torture.faults.kills import kills
from tests.torture.faults.parent import everything, parent
from tests.torture.faults.reclaimers import reclaimers
from tests.torture.faults.stops import stops
from tests.torture.faults.survivors import survivors
from tests.torture.figures import Figures
from tests.torture.settings import Settings

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """A fault, and how many there are for each kill of `kills`; `least` at least."""

    inject: Callable[[Settings], Figures]
    share: float
    least: int
    unit: str = "fault"

    def count_for(self, kills: int) -> int:
        """Return how many to inject when `kills` has so many."""
        return max(self.least, round(kills * self.share))


FAULTS = {
    "kills": Fault(kills, 1.0, 1, "kill"),
    "survivors": Fault(survivors, 0.1, 10, "kill"),
    "abort": Fault(abort, 0.2, 10, "run"),
    "exits": Fault(exits, 0.06, 60, "exit"),
    "parent": Fault(parent, 0.02, 10, "kill"),
    "everything": Fault(everything, 0.1, 20, "kill"),
    "stops": Fault(stops, 0.1, 20, "stop"),
    "interrupts": Fault(interrupts, 1.0, 500, "signal"),
    "crowd": Fault(crowd, 0.0, 64, "worker"),
    "reclaimers": Fault(reclaimers, 0.2, 30, "kill"),
}
