"""More workers: measured on this machine, and computed for many.

``python -m benchmarks --only scaling`` measures what 1, 2, 4 and 8 workers do on this machine (`measured`).

``python -m benchmarks.scaling`` computes what thousands of ranks over MPI do: messages, bytes, memory and time, by
formulas (`model`, `timing`) and by a simulation (`simulation`), both checked against messages that are counted in
small runs (`counted`).  pydsm itself imports none of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.attempts import Row
    from benchmarks.settings import Settings

__all__ = ["TITLE", "rows"]

TITLE = "More workers"


def rows(settings: Settings) -> Iterator[Row]:
    """Yield what `measured` finds; it needs packages of the bench extra, and what is computed does not."""
    from benchmarks.scaling import measured

    yield from measured.rows(settings)
