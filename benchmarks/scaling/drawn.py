"""Rows of the program that is run over MPI and simulated: the same ones in both."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["TURNS", "rows_of"]

TURNS: Final = 6
"""How often all workers meet in it."""


def rows_of(rank: int, turn: int, count: int) -> list[int]:
    """Return the rows, of so many, that a worker locks in one turn."""
    draw = random.Random(1000 * rank + turn)
    return [draw.randrange(count) for _ in range(5)]
