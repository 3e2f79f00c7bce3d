"""How much to measure, and with which old interpreter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["WORKERS", "Settings"]

WORKERS = (2, 4)
"""Team sizes that every parallel row is measured with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asked for.

    Attributes
    ----------
    quick : bool
        A look, not a measurement: few rounds, small sizes.
    old_python : str or None
        An interpreter that has py-dsm 1.1.1.
    say : callable
        Shows one line of progress.
    budget : float
        Seconds that the group may take; a row that begins later is skipped.
    began : float
        When the group began, on the monotonic clock.
    """

    quick: bool
    old_python: str | None
    say: Callable[[str], None] = field(default=print)
    budget: float = float("inf")
    began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether the group has used up its time."""
        return time.monotonic() - self.began > self.budget

    @property
    def is_far_over(self) -> bool:
        """Whether the group has gone on for so long that it is cut off, if it does not end by itself."""
        return time.monotonic() - self.began > 1.5 * self.budget

    @property
    def rounds(self) -> int:
        """How many pairs a row in one process has."""
        return 7 if self.quick else 31

    @property
    def seconds(self) -> float:
        """How long one sample in one process takes."""
        return 0.005 if self.quick else 0.02

    @property
    def team_rounds(self) -> int:
        """How many pairs a row with workers has."""
        return 3 if self.quick else 11

    @property
    def team_seconds(self) -> float:
        """How long one sample with workers takes: many time slices, when workers share a cpu."""
        return 0.05 if self.quick else 0.25

    @property
    def curve_rounds(self) -> int:
        """How many samples each point of a curve has."""
        return 2 if self.quick else 5

    @property
    def curve_seconds(self) -> float:
        """How long one sample of a curve takes."""
        return 0.02 if self.quick else 0.1
