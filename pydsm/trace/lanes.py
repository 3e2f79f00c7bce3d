"""Which line an event is drawn on: one for the program, one for each thread of each worker.

On a line, what lies inside something else is drawn below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydsm.trace.events import Event, Run

__all__ = ["INSTANTS", "Lane", "Lanes"]

INSTANTS = frozenset({"fence", "death", "race", "push", "pull"})


class Lane(NamedTuple):
    """The program of a team (rank -1), or a thread of a worker."""

    team: int
    rank: int
    thread: int

    @property
    def name(self) -> str:
        """What a person calls it."""
        if self.rank < 0:
            return "program"
        return f"worker {self.rank}" + (f", thread {self.thread}" if self.thread else "")


class Lanes:
    """The lines of a timeline.

    Attributes
    ----------
    all : list of Lane
        In the order in which they are drawn.
    of : list of int
        For each event, the position of its lane.
    depth : list of int
        For each event, how far below the top of its lane it is.
    """

    def __init__(self, events: Sequence[Event], runs: Sequence[Run]) -> None:
        keys = [Lane(runs[event.run].team, event.rank, event.thread) for event in events]
        wanted = set(keys) | {Lane(run.team, rank, 0) for run in runs for rank in range(-1, run.size)}
        self.all = sorted(wanted)
        places = {lane: place for place, lane in enumerate(self.all)}
        self.of = [places[key] for key in keys]
        self.depth = [0] * len(events)
        ends: list[list[int]] = [[] for _ in self.all]
        for index, event in enumerate(events):  # in the order of their begins
            if event.kind not in INSTANTS:
                self.depth[index] = _first_free(ends[self.of[index]], event)

    def heights(self) -> list[int]:
        """Return how many depths each lane has."""
        heights = [1] * len(self.all)
        for lane, depth in zip(self.of, self.depth, strict=True):
            heights[lane] = max(heights[lane], depth + 1)
        return heights


def _first_free(ends: list[int], event: Event) -> int:
    for depth, end in enumerate(ends):
        if end <= event.begin:
            ends[depth] = event.end
            return depth
    ends.append(event.end)
    return len(ends) - 1
