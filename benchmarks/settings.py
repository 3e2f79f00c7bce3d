"""How much to measure, and with which old interpreter."""

from __future__ import annotations

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
    """

    quick: bool
    old_python: str | None
    say: Callable[[str], None] = field(default=print)

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
