"""What a timeline comes to: each worker's time, the rows waited for, the longest waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydsm.trace.events import NOTICEABLE, Event, Run
from pydsm.trace.hot import HotRows, hottest
from pydsm.trace.shares import Shares, shares_of
from pydsm.trace.units import time_text

__all__ = ["Summary", "Worker"]

_HOT_ROWS: Final = 10
_LONG_WAITS: Final = 10
_WIDTH: Final = 80
_WAITS: Final = ("lock", "barrier", "wait_until")


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker of a team did in all its runs."""

    team: int
    rank: int
    shares: Shares
    events: int
    lost: int
    died: int
    """In how many runs."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a timeline comes to; `str` of it is a page of text of 80 columns.

    Attributes
    ----------
    duration : int
        Nanoseconds from the begin of the first run to the end of the last.
    workers : list of Worker
    rows : list of HotRows
        Those that were waited for longest.
    waits : list of int
        Positions of the events that waited longest.
    races : int
        How many the detector reported.
    """

    runs: int
    teams: int
    duration: int
    events: int
    workers: list[Worker]
    rows: list[HotRows]
    waits: list[int]
    races: int
    longest: list[Event]

    @classmethod
    def of(cls, events: Sequence[Event], runs: Sequence[Run]) -> Summary:
        """Sum events up."""
        lanes: dict[tuple[int, int], list[Event]] = defaultdict(list)
        counts: dict[tuple[int, int], int] = defaultdict(int)
        deaths: dict[tuple[int, int], int] = defaultdict(int)
        for event in events:
            counts[runs[event.run].team, event.rank] += 1
            deaths[runs[event.run].team, event.rank] += event.kind == "death"
            if event.thread == 0 and event.rank >= 0:
                lanes[event.run, event.rank].append(event)
        shares: dict[tuple[int, int], Shares] = defaultdict(Shares)
        lost: dict[tuple[int, int], int] = defaultdict(int)
        for number, run in enumerate(runs):
            for rank in range(run.size):
                shares[run.team, rank] = shares[run.team, rank].plus(shares_of(lanes[number, rank]))
                lost[run.team, rank] += run.lost[rank] if rank < len(run.lost) else 0
        waits = sorted(
            (index for index, event in enumerate(events) if event.kind in _WAITS and event.waited >= NOTICEABLE),
            key=lambda index: -events[index].waited,
        )[:_LONG_WAITS]
        return cls(
            len(runs),
            len({run.team for run in runs}),
            max((run.end for run in runs), default=0) - min((run.begin for run in runs), default=0),
            len(events),
            [Worker(*key, shares[key], counts[key], lost[key], deaths[key]) for key in sorted(shares)],
            hottest(events, _HOT_ROWS),
            waits,
            sum(event.kind == "race" for event in events),
            [events[index] for index in waits],
        )

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines())

    def _lines(self) -> list[str]:
        per_team = f"{self.teams} teams, " if self.teams > 1 else ""
        runs = f"{self.runs} run{'' if self.runs == 1 else 's'}"
        lines = [f"{per_team}{runs}, {self.events:,} events in {time_text(self.duration)}", ""]
        lines += self._workers()
        if self.races:
            lines += ["", f"{self.races} data race{'' if self.races == 1 else 's'} reported"]
        hot = [row for row in self.rows if row.waited][:5]
        if hot:
            lines += ["", "rows waited for      waited in all   held in all    regions"]
            lines += [
                f"{_cut(str(row), 20):20} {time_text(row.waited):>13} {time_text(row.held):>13} {row.taken:10,}"
                for row in hot
            ]
        if self.longest:
            lines += ["", "longest waits        for            worker  at"]
            lines += [
                f"  {time_text(event.waited):>10}         {_cut(_what(event), 16):16} {event.rank:4}  "
                f"{_tail(event.where, 38)}"
                for event in self.longest[:5]
            ]
        return lines

    def _workers(self) -> list[str]:
        lines = ["worker     time  running  holding  lock waits  barriers  elements    events"]
        for worker in self.workers:
            total = worker.shares.total or 1
            cells = [f"{share / total:.0%}" for share in worker.shares]
            name = f"{worker.team}/{worker.rank}" if self.teams > 1 else str(worker.rank)
            notes = f"  died in {worker.died}" if worker.died else ""
            notes += f"  {worker.lost:,} lost" if worker.lost else ""
            lines.append(
                f"{name:>6} {time_text(worker.shares.total):>8} {cells[0]:>8} {cells[1]:>8} {cells[2]:>11} "
                f"{cells[3]:>9} {cells[4]:>9} {worker.events:9,}{notes}"
            )
        return lines


def _what(event: Event) -> str:
    if event.kind == "barrier":
        return "the barrier"
    return " + ".join(map(str, event.parts)) or event.kind


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _tail(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[3 - width :]
