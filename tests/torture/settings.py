"""How long and how hard a fault is injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Settings"]


def _say_nothing(count: int) -> None:
    pass


@dataclass(frozen=True)
class Settings:
    """What every fault is given.

    Attributes
    ----------
    count : int
        How many faults to inject.
    seconds : float
        How long those faults last that are a state and no event.
    patience : float
        How long a wait may take, in seconds, before it counts as a hang.
    on_progress : callable
        Called with how many faults were injected since the last call.
    """

    count: int
    seconds: float = 2.0
    seed: int = 0
    patience: float = 5.0
    on_progress: Callable[[int], None] = _say_nothing
