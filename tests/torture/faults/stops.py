"""SIGSTOP of workers inside their regions while others wait, time out, and would take over from the dead."""

from __future__ import annotations

from collections.abc import Callable

from tests.torture.crew import Crew, Plan
from tests.torture.figures import Figures
from tests.torture.settings import Settings
from tests.torture.worker import Habits

__all__ = ["stops"]

_KINDS = ("row", "rows", "undo", "nested", "group", "shared", "lock", "timed")


def stops(settings: Settings, sabotage: Callable[[], None] | None = None) -> Figures:
    """Stop workers for a while; nobody dies, so nothing may be taken over, and nobody told of a death."""
    plan = Plan(
        stops=settings.count,
        lanes=5,
        pause=0.04,
        patience=settings.patience,
        seed=settings.seed,
        until_wrong=sabotage is not None,
        habits=Habits(aimed=0.0, traced=0.0, impatient=True, kinds=_KINDS, sabotage=sabotage),
    )
    figures = Crew("stops", plan, settings.on_progress).run()
    figures.violations += figures.notes.get("taken over", 0) + figures.notes.get("OwnerDiedError", 0)
    if figures.notes.get("deaths"):
        figures.problems.append(f"{figures.notes['deaths']} workers died that nobody killed")
    return figures
