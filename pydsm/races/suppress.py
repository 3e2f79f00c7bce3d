"""Races that are known and not reported: patterns in a file, one a line.

::

    # accepted: the progress display may be a little behind
    race:array:progress
    race:solver.py:relax*
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from pydsm.races.report import Place, Race

__all__ = ["is_suppressed", "read_patterns"]


def read_patterns(path: str) -> tuple[tuple[str, str], ...]:
    """Read a file of patterns: (file or "array", function or name).

    Raises
    ------
    FileNotFoundError
    ValueError
        A line is no pattern.
    """
    if not path:
        return ()
    patterns = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                patterns.append(_pattern(text, f"{path}:{number}"))
    return tuple(patterns)


def is_suppressed(race: Race, patterns: tuple[tuple[str, str], ...]) -> bool:
    """Say whether a pattern names the array, or the place of one of the sides."""
    return any(
        fnmatchcase(race.array, name)
        if where == "array"
        else any(_is_at(side.place, where, name) for side in (race.access, race.previous))
        for where, name in patterns
    )


def _pattern(text: str, place: str) -> tuple[str, str]:
    kind, _, rest = text.partition(":")
    where, colon, name = rest.rpartition(":")
    if kind != "race" or not colon or not where or not name:
        raise ValueError(f"{place}: {text!r} is neither 'race:array:NAME' nor 'race:FILE:FUNCTION'")
    return where, name


def _is_at(place: Place, where: str, name: str) -> bool:
    path = place.file if os.sep in where else os.path.basename(place.file)
    return fnmatchcase(path, where) and fnmatchcase(place.function, name)
