"""Small programs with a planted race (``*_yes``) or without any (``*_no``), in the form of RMARaceBench.

Each is a function of one worker, with the arrays it wants.  The lines of a race have a
comment ``# RACE``, or ``# RACE 1``, ``# RACE 2`` ... where a program has several; a line alone
races with itself.  A line with ``# MAYBE`` races with them too if the workers come in that
order.  What one order of the workers hides from ``"happens-before"`` is marked
``only="predict"``, and says why.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = ["CATEGORIES", "Program", "program", "programs"]

CATEGORIES = (
    "locks", "nested", "barriers", "fences", "flags", "columns", "views", "indices", "atomics", "runs", "several",
    "guarded", "named", "shares", "operations", "handles",
)  # fmt: skip
_found: list[Program] = []


@dataclass(frozen=True)
class Program:
    """A program, what it needs, and what is in it."""

    function: Callable[..., Any]
    category: str
    arrays: dict[str, Any]
    locks: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 1
    possible: bool = False
    """Whether `predict` gives a false alarm, labelled as possible."""
    only: str = ""

    @property
    def name(self) -> str:
        return f"{self.category}.{self.function.__name__}"

    @property
    def has_race(self) -> bool:
        return self.function.__name__.endswith("_yes")

    @property
    def races(self) -> list[tuple[int, int]]:
        """The planted races, as pairs of lines."""
        return [(places[0], places[-1]) for label, places in self._labelled(r"# RACE ?(\d*)").items()]

    @property
    def lines(self) -> set[int]:
        """The lines that may race."""
        return {place for places in self._labelled(r"# (RACE|MAYBE)").values() for place in places}

    def _labelled(self, pattern: str) -> dict[str, list[int]]:
        lines, first = inspect.getsourcelines(self.function)
        labelled: dict[str, list[int]] = {}
        for number, line in enumerate(lines, first):
            for label in re.findall(pattern, line):
                labelled.setdefault(label, []).append(number)
        return labelled


def program(**wanted: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a program of a function: arrays by name, ``locks``, ``runs`` ... by theirs."""
    others = {name: wanted.pop(name) for name in ("locks", "options", "runs", "possible", "only") if name in wanted}

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        _found.append(Program(function, function.__module__.rpartition(".")[2], wanted, **others))
        return function

    return keep


def programs() -> list[Program]:
    """Return all programs."""
    for category in CATEGORIES:
        import_module(f"{__name__}.{category}")
    return list(_found)
