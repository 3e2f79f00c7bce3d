"""A region whose rows have one home, as nearly all have: as few steps as it can be entered and left with.

At home it is the native region, and at its end its stripes get a new version if anything was written.  Elsewhere
one message asks for the stripes and one takes what was written; the native lock word of this node, which is free
once the home has granted the stripes, says to nested regions and to people who has them.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from pydsm.mpi.engine import Engine
from pydsm.native import Region, Twins
from pydsm.observed import ObservedRegion

__all__ = ["HomedRegion", "homed_region"]


def homed_region(engine: Engine | None, region: Region) -> HomedRegion | None:
    """Return what enters and leaves a region, if its rows have one home; None if there is more to be done."""
    if engine is None:
        return None
    ends = region.neighbours()
    replica = engine.node.replicas.get(region.locks.policy.array_id)
    if ends is None or replica is None or ends[0] == ends[1]:
        return None
    first, stop = ends
    home = replica.homes.node_of(first)
    return (
        HomedRegion(engine, region, replica.twins, home, first, stop)
        if stop <= replica.homes.bounds[home + 1]
        else None
    )


class HomedRegion(ObservedRegion):
    """Neighbouring stripes of one home, as a worker of several nodes enters them."""

    __slots__ = ("_engine", "_home", "_native", "_stripes", "_thread", "_twins")

    def __init__(self, engine: Engine, region: Region, twins: Twins, home: int, first: int, stop: int) -> None:
        super().__init__(region, ())
        self._engine, self._native, self._twins, self._home = engine, region, twins, home
        self._stripes, self._thread = range(first, stop), 0

    def __enter__(self) -> Any:
        engine, region = self._engine, self._native
        if self._home == engine.node.index or region.entered:
            return region.__enter__()
        table = region.locks.policy
        engine.enter(self._home, table, region, self._stripes)
        try:
            view = region.__enter__()
        except BaseException:
            engine.leave(self._home, self._twins, self._stripes, written=False)
            raise
        self._thread = threading.get_ident()
        return view

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine, region, home = self._engine, self._native, self._home
        twins = self._twins
        try:
            if home == engine.node.index:
                if not region.shared:
                    engine.node.lines.note(home, [(twins, self._stripes.start, self._stripes.stop)])
            elif region.entered and self._thread == threading.get_ident():
                engine.leave(home, twins, self._stripes, written=not region.shared)
        finally:
            region.__exit__(kind, error, trace)
