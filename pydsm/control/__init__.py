"""Controlled schedules: worker processes that run one at a time, in an order that a seed decides."""

from __future__ import annotations

from typing import Any

from pydsm.control.instrument import Control
from pydsm.control.plan import Plan

__all__ = ["Control", "Plan", "instrument"]


def instrument(asked: Any) -> Control:
    """Return what schedules a team that was asked for a schedule.

    Raises
    ------
    ValueError, TypeError
        There is no such schedule.
    """
    return Control(Plan.read(asked))
