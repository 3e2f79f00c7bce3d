"""What a program says about its own accesses: this race is meant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["racy"]


@contextmanager
def racy(why: str) -> Iterator[None]:
    """Leave the accesses of this block out of what is checked: they may race, and it is known why.

    Nothing is done to them, so what G7 of docs/memory-model.md promises of a race is all that
    there is.  Of the two sides of a race it is enough to mark one.

    Parameters
    ----------
    why : str
        For whoever reads the program.

    Examples
    --------
    >>> import pydsm
    >>> def program(worker):
    ...     with pydsm.racy("a bound that is a little too large costs only time"):
    ...         bound = worker["best"][0]
    ...     return float(bound)
    >>> with pydsm.Team(2, check="happens-before") as team:
    ...     best = team.array("best", 1)
    ...     team.run(program)
    [0.0, 0.0]
    """
    if not isinstance(why, str) or not why:
        raise TypeError(f"racy() takes the reason why a race does no harm here, not {why!r}")
    races: Any = sys.modules.get("pydsm.native.races")  # not loaded where nothing is checked
    if races is None:
        yield
        return
    races.hush(1)
    try:
        yield
    finally:
        races.hush(-1)
