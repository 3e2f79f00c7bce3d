"""SIGKILL of random workers at random instants, among workers that do everything there is to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests.torture.crew import Crew, Plan
from tests.torture.figures import Figures
from tests.torture.settings import Settings
from tests.torture.worker import Habits

__all__ = ["kills"]

_KILLS_PER_TEAM = 2500


def kills(settings: Settings, sabotage: Callable[[], None] | None = None, *, until_wrong: bool = False) -> Figures:
    """Kill workers, half of them from outside and half by their own clock amid an operation.

    Recovery is from a kill from outside until a survivor that waits has the dead one's rows.
    A tenth as many workers are stopped for a while: they live, and nobody may rob them.
    With `until_wrong`, stop when something is.
    """
    total = Figures("kills")
    left, part = settings.count, 0
    while left > 0 and not (until_wrong and total.wrong()):
        count = min(left, _KILLS_PER_TEAM)
        plan = Plan(
            kills=count,
            stops=count // 10,
            lanes=(6, 3, 12)[part % 3],
            patience=settings.patience,
            seed=settings.seed + part,
            ranks=(1, 8)[part % 2],  # more ranks than cpus: nobody spins before it sleeps
            until_wrong=until_wrong,
            habits=Habits(sabotage=sabotage),
        )
        _add(total, Crew("kills", plan, settings.on_progress).run())
        left, part = left - count, part + 1
    return total


def _add(total: Figures, part: Figures) -> None:
    for each in dataclasses.fields(Figures):
        if each.name == "notes":
            for what, count in part.notes.items():
                total.note(what, count)
        elif each.name != "fault":
            setattr(total, each.name, getattr(total, each.name) + getattr(part, each.name))
