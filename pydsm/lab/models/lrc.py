"""LRC, lazy release consistency: who acquires a lock sees all that its releasers knew.

Keleher, Cox and Zwaenepoel, *Lazy release consistency for software distributed shared memory* (1992), as in
TreadMarks: a release covers all that its worker knows, whichever rows the lock belongs to, and nothing
travels before the next acquire.
"""

from __future__ import annotations

from pydsm.lab.models.lazy import Lazy

__all__ = ["LRC"]


class LRC(Lazy):
    """Lazy release consistency."""

    name = "lrc"
    title = "lazy release consistency"
    source = "Keleher, Cox and Zwaenepoel, Lazy release consistency, 1992"

    def covered(self, location: int) -> int:
        """Return everything."""
        return (1 << len(self.place)) - 1
