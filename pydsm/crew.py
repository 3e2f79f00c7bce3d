"""Where the workers of a team come from, if they are not children of this process.

A program that a launcher started on many ranks has a *job*; each of its teams has a *crew* of it.  Who starts the
job says so here (`pydsm.mpi.launch`); teams ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from pydsm.instruments import Instruments
from pydsm.interrupt import DeferredSignals
from pydsm.options import exact_size
from pydsm.sync.namespace import Namespace

__all__ = ["Crew", "Job", "check_instruments", "crew_for", "enter_job"]


class Crew(Protocol):
    """The ranks that work for one team."""

    size: int
    seats: int
    """How many of them are on this process's node."""
    nodes: int

    def open(self, namespace: Namespace) -> None:
        """Let them take part in a namespace."""

    def run(
        self,
        task: Any,
        on_failure: Callable[[], None],
        ticks: Sequence[Callable[[Iterable[int]], None]],
        signals: DeferredSignals,
    ) -> tuple[list[Any], list[str]]:
        """Do a run, a task of rank 0 as each worker's but for the rank; return the results and what was left held."""

    def close(self) -> None:
        """Let them leave it."""


class Job(Protocol):
    """A program that runs on many ranks, of which this process is the first."""

    def crew(self, size: int | None) -> Crew:
        """Return so many workers; all unless given."""


_job: Job | None = None


def crew_for(size: int | None, on_death: str) -> Crew | None:
    """Return who works for a new team, or None if it has children of this process.

    Raises
    ------
    ValueError
        The job has not so many workers, or cannot go on after a death.
    """
    if _job is None:
        return None
    if on_death != "abort":
        raise ValueError("on_death='continue' is for workers that are child processes: an MPI job ends with its ranks")
    wished = size is not None or os.environ.get("PYDSM_WORKERS")
    return _job.crew(exact_size(size, most=None) if wished else None)  # which knows how many it has


def check_instruments(crew: Crew, instruments: Instruments) -> Crew:
    """Return the crew, or raise ValueError if what a team was asked for looks at one machine and it is on several."""
    if instruments and crew.nodes > 1:
        raise ValueError(
            f"memory, check, schedule and trace are for teams on one node, and this one is on {crew.nodes}: "
            "run the program without MPI for that"
        )
    return crew


def enter_job(job: Job | None) -> None:
    """Say what job this process is the first rank of."""
    global _job
    _job = job
