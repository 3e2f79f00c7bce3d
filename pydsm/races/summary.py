"""What all teams of this process found, for whoever runs a program and wants to know."""

from __future__ import annotations

from collections.abc import Iterable

from pydsm.races.report import Race

__all__ = ["add", "found", "runs"]

_found: dict[object, Race] = {}
_runs = 0


def add(races: Iterable[Race]) -> None:
    """Count a run and its races in, each race once."""
    global _runs
    _runs += 1
    for race in races:
        _found.setdefault(race.key, race)


def found() -> tuple[Race, ...]:
    """Return all that were found."""
    return tuple(_found.values())


def runs() -> int:
    """Return how many runs were checked."""
    return _runs
