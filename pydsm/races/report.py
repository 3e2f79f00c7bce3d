"""What is said of a race: two accesses, where, when and under which locks, and what is missing between them."""

from __future__ import annotations

import dataclasses
import linecache
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Place", "Race", "Side", "from_json", "to_json"]

_LINE: Final = "=" * 68


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a program: a line of a function of a file, and the columns of the expression in it."""

    file: str
    line: int
    function: str
    column: int = -1
    end_column: int = -1

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"

    @property
    def source(self) -> str:
        """The line's text; nothing if it cannot be read."""
        return linecache.getline(self.file, self.line).rstrip()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two accesses of a race.

    Attributes
    ----------
    rank : int
    kind : {"read", "write", "atomic read", "atomic write"}
    place : Place
    time : int
        The epoch of the worker, as it counts its synchronisations.
    locks : tuple of str, optional
        What the worker held; None if that was too long ago.
    source : str
        The line, without what it is indented by.
    """

    rank: int
    kind: str
    place: Place
    time: int
    locks: tuple[str, ...] | None
    source: str = ""

    def lines(self, title: str) -> list[str]:
        """Return what is said of it."""
        if self.locks is None:
            held = "locks held: not known any more"
        else:
            held = f"holding {', '.join(self.locks)}" if self.locks else "holding no lock"
        lines = [f"  {title} by rank {self.rank} at its time {self.time}, {held}:", f"    {self.place}"]
        if self.source:
            lines.append(f"      {self.source}")
        return lines


@dataclass(frozen=True, slots=True)
class Race:
    """Two accesses of an array that nothing orders.

    Attributes
    ----------
    array : str
    rows : tuple of int
        First and last row where they met in this report.
    elements : str
        Which elements that are, as an index.
    access, previous : Side
        The one that found it, and what it found.
    possible : bool
        True if the accesses were ordered this time, by locks that do not belong to these rows.
    heard_of : int
        The last epoch of the previous access's worker that happens before the access.
    """

    array: str
    rows: tuple[int, int]
    elements: str
    access: Side
    previous: Side
    possible: bool
    heard_of: int

    def __str__(self) -> str:
        what = "possible data race" if self.possible else "data race"
        first = self.access.kind[:1].upper() + self.access.kind[1:]
        lines = [f"{what} on array {self.array!r}, {self.elements}"]
        lines += self.access.lines(first)
        lines += self.previous.lines(f"Previous {self.previous.kind}")
        return "\n".join([*lines, f"  {self.missing}"])

    @property
    def missing(self) -> str:
        """What would have ordered them, as a sentence."""
        mine, theirs = self.access, self.previous
        if self.possible:
            return (
                "They came one after the other this time, but only by locks that do not belong\n  to these rows: "
                "hold the rows themselves on both sides, or put fences or a barrier between"
            )
        other = f"rank {theirs.rank}"
        known = f"of {other} up to its time {self.heard_of}" if self.heard_of else f"nothing of {other}"
        return (
            f"No barrier, lock, fence or atomic operation of both lies between:\n"
            f"  when rank {mine.rank} made its access, it had heard {known}"
        )

    @property
    def text(self) -> str:
        """The report as it is printed."""
        return f"{_LINE}\nWARNING: pydsm: {self}\n{_LINE}\n"

    @property
    def key(self) -> tuple[str, bool, tuple[Any, ...]]:
        """What makes it the same race: array and both places."""
        places = sorted(
            (side.place.file, side.place.line, side.place.function) for side in (self.access, self.previous)
        )
        return self.array, self.possible, tuple(places)


def to_json(race: Race) -> dict[str, Any]:
    """Return a race as JSON has it."""
    return dataclasses.asdict(race)


def from_json(found: dict[str, Any]) -> Race:
    """Return the race that `to_json` made this of."""
    sides = {}
    for name in ("access", "previous"):
        side = dict(found[name])
        side["place"] = Place(**side["place"])
        side["locks"] = None if side["locks"] is None else tuple(side["locks"])
        sides[name] = Side(**side)
    return Race(**{**found, **sides, "rows": tuple(found["rows"])})
