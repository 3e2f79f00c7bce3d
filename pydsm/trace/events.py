"""What a timeline consists of: events, what they were about, and runs.

Times are nanoseconds since the timeline's beginning.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["NOTICEABLE", "ArrayInfo", "Event", "Part", "Run", "rows_text"]

NOTICEABLE: Final = 10_000
"""Nanoseconds that an acquire must take to count as waiting in what is shown: less is what an acquire costs."""
_SHOWN: Final = 3


class Part(NamedTuple):
    """Rows of one array, or a named lock, which has none."""

    array: str
    rows: tuple[tuple[int, int], ...]
    shared: bool = False

    def __str__(self) -> str:
        return f"{self.array}[{rows_text(self.rows)}]" if self.rows else self.array


class Event(NamedTuple):
    """Something that a worker did, or that became of it.

    Attributes
    ----------
    kind : str
        ``"program"``: the run as the program saw it; ``"run"``: a worker's function; ``"lock"``,
        ``"barrier"``, ``"atomic"``, ``"wait_until"``, ``"fence"``; ``"death"``: a worker was found
        dead; or what another observer noted, as ``"race"``, ``"push"``, ``"pull"``.
    run : int
        Which of the timeline's runs, from 0.
    rank : int
        The worker; -1 for the program that started the run.
    thread : int
        Which thread of the worker, 0 for the one that runs its function.
    begin, had, end : int
        Of a lock: asked for, taken, and the last moment before others could have it.  Of a
        barrier: arrived, all there, left.  Of everything else `had` is `begin`, or `end` of
        what waits for an element.
    parts : tuple of Part
        The rows it was about.
    elements : tuple of int
        Of an atomic operation: positions of its first element and of the one after its last.
    what : str
        The operation's name.
    where : str
        File and line of the program.
    outcome : str
        ``""``, or ``"failed"``, ``"gave up"``, ``"unfinished"``: the worker did not live to its end.
    details : dict or None
        What another observer told.
    """

    kind: str
    run: int
    rank: int
    thread: int
    begin: int
    had: int
    end: int
    parts: tuple[Part, ...] = ()
    elements: tuple[int, int] = (0, 0)
    what: str = ""
    where: str = ""
    outcome: str = ""
    details: dict[str, Any] | None = None

    @property
    def waited(self) -> int:
        """Nanoseconds that it kept the worker waiting: for a lock, in a barrier, for an element."""
        return self.had - self.begin if self.kind != "barrier" else self.end - self.begin

    @property
    def held(self) -> int:
        """Nanoseconds that the worker held rows."""
        return self.end - self.had if self.kind == "lock" else 0

    @property
    def lane(self) -> tuple[int, int, int]:
        """Which line it is drawn on, but for the team: the program's or a thread's of a worker."""
        return (self.run, self.rank, self.thread)

    @property
    def writes(self) -> bool:
        """Whether an atomic operation changed what it was done on."""
        return self.kind == "atomic" and self.what != "load_acquire"


class ArrayInfo(NamedTuple):
    """What an array is like; a named lock has no shape."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    block: int


class Run(NamedTuple):
    """One run of a team, as the program saw it."""

    team: int
    number: int
    size: int
    begin: int
    end: int
    failed: bool
    arrays: dict[str, ArrayInfo]
    lost: tuple[int, ...] = ()
    """How many events of each worker are missing."""


def rows_text(rows: tuple[tuple[int, int], ...]) -> str:
    """Return rows as a person writes them.

    Examples
    --------
    >>> rows_text(((0, 1), (4, 10)))
    '0, 4:10'
    """
    shown = [str(start) if stop == start + 1 else f"{start}:{stop}" for start, stop in rows[:_SHOWN]]
    return ", ".join(shown) + (f", ... {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
