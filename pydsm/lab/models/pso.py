"""PSO, partial store order: as TSO, but writes to different locations may leave the buffer in any order.

The SPARC Architecture Manual, version 8 (1992), chapter 6: only writes to one location stay in order,
unless a STBAR stands between.

A fence of the lab is a full one (STBAR, and reads wait too): it waits until the own buffer is empty.  So do
atomic operations, `lock` and `unlock`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydsm.lab.models.tso import TSO, Buffer

__all__ = ["PSO"]


class PSO(TSO):
    """Partial store order."""

    name = "pso"
    title = "partial store order (SPARC V8)"
    source = "SPARC Architecture Manual, version 8, 1992"

    def leaving(self, buffer: Buffer) -> Sequence[int]:
        """Return the oldest write to each location."""
        first: dict[int, int] = {}
        for position, (location, _) in enumerate(buffer):
            first.setdefault(location, position)
        return list(first.values())
