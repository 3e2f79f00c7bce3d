"""What a fault leaves in figures: what was injected, and what went wrong for it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["COUNTS", "Figures"]

COUNTS = ("lost", "invented", "torn", "violations", "hangs", "names_left")
"""The counts that have to be zero."""


@dataclass
class Figures:
    """The outcome of one fault.

    Attributes
    ----------
    injected : int
        How many faults there were.
    operations : int
        How much honest work was done meanwhile.
    lost, invented : int
        Updates that were completed and are missing; that are there and nobody began.
    torn : int
        Regions with ``undo=True`` found half-written, and groups applied in part.
    violations : int
        Two at a time in one exclusive region; a live holder robbed; a row of a dead holder
        given away in silence.
    hangs : int
        Waits beyond patience.
    names_left : int
        Names in shared memory that nobody will take back.
    recovery : list of float
        Milliseconds; what from and to, each fault says.
    problems : list of str
        Anything else that should not be, in a sentence each.
    notes : dict
        What else was counted, for people.
    """

    fault: str
    injected: int = 0
    operations: int = 0
    lost: int = 0
    invented: int = 0
    torn: int = 0
    violations: int = 0
    hangs: int = 0
    names_left: int = 0
    recovery: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def note(self, what: str, count: int = 1) -> None:
        """Count something for people."""
        if count:
            self.notes[what] = self.notes.get(what, 0) + count

    def wrong(self) -> dict[str, int]:
        """Return the counts that are not zero and should be, the number of problems included."""
        counts = {name: getattr(self, name) for name in COUNTS} | {"problems": len(self.problems)}
        return {name: count for name, count in counts.items() if count}

    @property
    def median(self) -> float:
        """Median of the recovery times in milliseconds; not a number if there are none."""
        return statistics.median(self.recovery) if self.recovery else math.nan

    @property
    def p99(self) -> float:
        """The recovery time that one in a hundred exceeds."""
        return _quantile(self.recovery, 0.99)

    @property
    def worst(self) -> float:
        """The longest recovery time."""
        return max(self.recovery, default=math.nan)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the single recovery times."""
        facts = asdict(self)
        del facts["recovery"]
        times = {"count": len(self.recovery), "median": self.median, "p99": self.p99, "max": self.worst}
        return facts | {"recovery_ms": {key: None if math.isnan(value) else value for key, value in times.items()}}


def _quantile(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)] if ordered else math.nan
