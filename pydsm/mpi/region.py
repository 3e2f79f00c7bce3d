"""Regions whose rows have one home, as nearly all have: `pydsm.native.HomedRegion`, in as few steps as it can be."""

from __future__ import annotations

from bisect import bisect_right

from pydsm.mpi.engine import Engine
from pydsm.native import HomedRegion, Region

__all__ = ["homed_region"]


def homed_region(engine: Engine, region: Region) -> HomedRegion | None:
    """Return what enters and leaves a region, if its rows have one home; None if there is more to be done."""
    ends, node = region.neighbours(), engine.node
    replica = node.replicas.get(region.locks.policy.array_id)
    if ends is None or replica is None or ends[0] == ends[1]:
        return None
    first, stop = ends
    bounds = replica.homes.bounds
    home = bisect_right(bounds, first) - 1
    if stop > bounds[home + 1]:
        return None
    caller = engine.client.caller
    return HomedRegion(region, engine, caller, replica.twins, home, first, stop, home == node.index)
