"""The schedule of a team, in the parent: the board, and the first turn of each run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydsm.control.board import MOST_WORKERS, Board, Word
from pydsm.control.observer import SchedulingObserver
from pydsm.control.plan import Plan
from pydsm.control.turns import Turns
from pydsm.core.events import Instrument
from pydsm.core.layout import Team

__all__ = ["REPORT", "Control", "Schedule"]

REPORT: Final = "PYDSM_SCHEDULE_REPORT"
"""Environment variable with the path of a file that gets a line of JSON at the start and end of each run."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What came of a team's runs.

    Attributes
    ----------
    plan : str
        What ``PYDSM_SCHEDULE`` has to say for the same schedule.
    steps : int
        How often a worker could have been stopped for another one, in the last run.
    digest : str
        The same for two teams if, and as far as one can tell only if, their workers took the
        same steps in the same order.
    """

    plan: str
    steps: int
    digest: str


class Control(Instrument):
    """Schedules the workers of a team as a plan says.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._board: Board | None = None
        self._space: Any = None
        self._namespace = ""
        self._last: Schedule | None = None

    def open(self, namespace: Any, size: int) -> None:
        """Make the board."""
        if size > MOST_WORKERS:
            raise ValueError(f"a controlled schedule is for {MOST_WORKERS} workers at most, not {size}")
        self._board = Board.create(namespace, size)
        self._space, self._namespace = namespace, namespace.name

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Choose who is first."""
        assert self._board is not None
        Turns(self._board, self.plan).begin()
        _report({"namespace": self._namespace, "plan": str(self.plan)})

    def observer(self, namespace: Any, rank: int, size: int) -> SchedulingObserver:
        """Return the scheduler of a worker."""
        board = self._board or Board.attach(namespace.name, shared=namespace.is_shared)
        return SchedulingObserver(Turns(board, self.plan), rank)

    def lost(self, rank: int) -> None:
        """Give the turn of a dead worker to another one."""
        if self._board is not None:
            survive = bool(self._space.words.load(Team.DEAD))  # which `Barrier.lose` has set before
            Turns(self._board, self.plan).lose(rank, survive=survive)

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Keep how long the run was, and its digest."""
        assert self._board is not None
        words = self._board.words
        self._last = Schedule(str(self.plan), words.load(Word.STEPS), f"{words.load(Word.DIGEST):016x}")
        _report({"steps": self._last.steps, "digest": self._last.digest})

    def found(self) -> Schedule:
        """Return what the last run's schedule was."""
        if self._last is None:
            raise RuntimeError("this team has not run yet, so it had no schedule")
        return self._last

    def seed(self) -> int:
        """Return the plan's seed."""
        return self.plan.seed

    def close(self) -> None:
        """Remove the board's name."""
        if self._board is not None:
            Board.unlink(self._namespace)
            self._board = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Control, (self.plan,)


def _report(line: dict[str, Any]) -> None:
    path = os.environ.get(REPORT)
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
