"""`Timeline`: what the workers of a team did, run after run, to be looked at and saved."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from pydsm.trace.arrows import Arrow, find_arrows
from pydsm.trace.chrome import write_chrome
from pydsm.trace.events import ArrayInfo, Event, Run
from pydsm.trace.lanes import Lanes
from pydsm.trace.merge import Sheet
from pydsm.trace.page import page_of
from pydsm.trace.summary import Summary

__all__ = ["Timeline"]


class Timeline:
    """What the workers of a team did: `Team.timeline` of a team with ``trace=True``.

    Attributes
    ----------
    runs : list of Run
    teams : list of str
        Namespaces of the teams, mostly one.

    Examples
    --------
    >>> import pydsm
    >>> def count(worker):
    ...     with worker["H"].locked(0):
    ...         worker["H"][0] += 1
    >>> with pydsm.Team(2, trace=True) as team:
    ...     H = team.array("H", 4, int)
    ...     _ = team.run(count)
    >>> [str(part) for event in team.timeline.events if event.kind == "lock" for part in event.parts]
    ['H[0]', 'H[0]']
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.teams: list[str] = []
        self.title = ""
        self._origin: int | None = None
        self._events: list[Event] = []

    # -- what is in it -------------------------------------------------------------

    @property
    def events(self) -> Sequence[Event]:
        """All events in the order of their begins; what lies inside another comes after it."""
        return tuple(self._events)

    @cached_property
    def arrows(self) -> list[Arrow]:
        """What happened before what, between workers."""
        return find_arrows(self._events, self.runs)

    @cached_property
    def lanes(self) -> Lanes:
        """Where events are drawn."""
        return Lanes(self._events, self.runs)

    def summary(self) -> Summary:
        """Return what the workers' time went into, and which rows they waited for; `str` of it is for people."""
        return Summary.of(self._events, self.runs)

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<Timeline of {len(self.runs)} runs, {len(self._events)} events>"

    # -- how it gets there -----------------------------------------------------------

    def begin(self, team: str) -> None:
        """Say whose runs follow."""
        self.teams.append(team)

    def add(self, sheets: Sequence[Sheet], began: int, over: int, *, failed: bool) -> None:
        """Add a run, from what its workers wrote; times are those of the clock."""
        if self._origin is None:
            self._origin = began
        origin, number = self._origin, len(self.runs)
        arrays: dict[str, ArrayInfo] = {}
        for sheet in sheets:
            arrays.update(sheet.arrays)
        lost = tuple(sheet.lost for sheet in sheets)
        run = Run(len(self.teams) - 1, number, len(sheets), began - origin, over - origin, failed, arrays, lost)
        program = Event("program", number, -1, 0, run.begin, run.begin, run.end, outcome="failed" if failed else "")
        self._take([run], [program, *(event for sheet in sheets for event in sheet.events(origin))])

    @classmethod
    def joined(cls, timelines: Iterable[Timeline]) -> Timeline:
        """Return one timeline of several teams of one program."""
        whole = cls()
        begun = [timeline for timeline in timelines if timeline._origin is not None]
        whole._origin = min((timeline._origin or 0 for timeline in begun), default=None)
        for timeline in begun:
            shift, teams, runs = (timeline._origin or 0) - (whole._origin or 0), len(whole.teams), len(whole.runs)
            whole.teams += timeline.teams
            whole._take(
                [
                    run._replace(
                        team=run.team + teams, number=run.number + runs, begin=run.begin + shift, end=run.end + shift
                    )
                    for run in timeline.runs
                ],
                [
                    event._replace(
                        run=event.run + runs,
                        begin=event.begin + shift,
                        had=event.had + shift,
                        end=event.end + shift,
                    )
                    for event in timeline._events
                ],
            )
        return whole

    def _take(self, runs: list[Run], events: list[Event]) -> None:
        self.runs += runs
        self._events += events
        self._events.sort(key=lambda event: (event.begin, -event.end))
        for made in ("arrows", "lanes"):
            self.__dict__.pop(made, None)

    # -- to be looked at -------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file: ``.html`` is a page for a browser, ``.json`` is for ui.perfetto.dev.

        Raises
        ------
        ValueError
            The suffix is neither.
        """
        name = os.fspath(path)
        check_path(name)
        with open(name, "w", encoding="utf-8") as file:
            if name.endswith(".html"):
                file.write(page_of(self))
            else:
                write_chrome(self, file)

    def _repr_html_(self) -> str:
        page = html.escape(page_of(self), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 760px; border: 0"></iframe>'


def check_path(path: Any) -> str:
    """Return a path that a timeline can be written to; ValueError if its suffix does not say as what."""
    name = os.fspath(path)
    if not isinstance(name, str) or not name.endswith((".html", ".json")):
        raise ValueError(f"a timeline is written to a .html or a .json file, not to {name!r}")
    return name
