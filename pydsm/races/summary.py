"""What all teams of this process found, for whoever runs a program and wants to know."""

from __future__ import annotations

from collections.abc import Iterable

from pydsm.races.report import Race

__all__ = ["add", "found"]

_found: dict[object, Race] = {}


def add(races: Iterable[Race]) -> None:
    """Count races in, each once."""
    for race in races:
        _found.setdefault(race.key, race)


def found() -> tuple[Race, ...]:
    """Return all that were found."""
    return tuple(_found.values())
