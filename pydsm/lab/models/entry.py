"""Entry consistency: who acquires a lock sees the data that belong to it, and nothing else.

Bershad, Zekauskas and Sawdon, *The Midway distributed shared memory system* (1993).  In pydsm a region
lock belongs to its rows, so the lock of a location covers the writes to this location.  Fences, atomic
operations and barriers cover all locations.
"""

from __future__ import annotations

from pydsm.lab.models.lazy import Lazy

__all__ = ["Entry"]


class Entry(Lazy):
    """Entry consistency."""

    name = "entry"
    title = "entry consistency"
    source = "Bershad, Zekauskas and Sawdon, The Midway distributed shared memory system, 1993"

    def covered(self, location: int) -> int:
        """Return the writes to this location."""
        return self.of_location[location]
