"""Timing a loop that several workers do at once.

Whatever is measured, pydsm or a peer, runs in the workers of a `pydsm.Team`: the same kind
of forked process, the same start.  A barrier holds everybody until all have prepared; the
time goes from the first to begin to the last to end, on the clock that all processes share.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pydsm import Team, Worker

__all__ = ["Prepare", "timed"]

Prepare = Callable[[Worker], Callable[[], object]]
"""Called in each worker; returns the loop to be timed."""


def timed(team: Team, prepare: Prepare) -> float:
    """Return the seconds in which all workers went through their loops."""
    spans: list[tuple[int, int]] = team.run(_go, prepare)
    return (max(ended for _, ended in spans) - min(began for began, _ in spans)) / 1e9


def _go(worker: Worker, prepare: Prepare) -> tuple[int, int]:
    loop = prepare(worker)
    worker.barrier()
    began = time.monotonic_ns()
    loop()
    return began, time.monotonic_ns()
