"""Rows that may not come: a peer is not installed, the time is used up, something breaks.

None of it ends the rest.  What is missing is said in one sentence, in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.figure import Figure
from benchmarks.measure import Comparison, Table
from benchmarks.settings import Settings

__all__ = ["Note", "Record", "Row", "absent", "attempt", "has", "problem_of"]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that stands where a row would."""

    text: str
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Numbers to keep in a file of their own, which the next run reads."""

    name: str
    values: dict[str, float]


Row = Comparison | Table | Figure | Record | Note


def has(*modules: str) -> bool:
    """Say whether all these packages are installed, without importing them."""
    return all(find_spec(name) is not None for name in modules)


def absent(*modules: str) -> Iterator[Note]:
    """Yield a note for each package that is not installed."""
    for name in modules:
        if not has(name):
            yield Note(f"skipped: {name} is not installed")


def attempt(what: str, settings: Settings, make: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """Yield what `make` yields, or a note that says why it does not."""
    if settings.is_over:
        yield Note(f"skipped: {what}, because the {settings.budget:.0f} s of its group are used up")
        return
    settings.say(f"{what} ...")
    try:
        yield from make()
    except Exception as error:  # whatever it is, the next row is another matter
        yield problem_of(error, what)


def problem_of(error: Exception, what: str = "") -> Note:
    """Return the note for an error."""
    where = f"{what}: " if what else ""
    if isinstance(error, ModuleNotFoundError):
        return Note(f"skipped: {where}{error.name} is not installed")
    said = str(error).strip().splitlines()
    return Note(f"failed: {where}{type(error).__name__}: {said[-1] if said else 'no message'}", is_failure=True)
