"""What commands take from their command line: numbers, and options that only look like theirs."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["from_one", "from_zero", "mistaken", "seconds"]

_LEAST_PREFIX: Final = 3  # letters
_LIKENESS: Final = 0.8


def from_one(text: str) -> int:
    """Read a number from 1."""
    return _number(text, 1)


def from_zero(text: str) -> int:
    """Read a number from 0."""
    return _number(text, 0)


def seconds(text: str) -> float:
    """Read a time greater than 0.

    Examples
    --------
    >>> seconds("2.5")
    2.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"it is a number of seconds greater than 0, not {text!r}")
    return value


def mistaken(unknown: Sequence[str], known: Iterable[str]) -> tuple[str, str] | None:
    """Return the first unknown option that may be meant for one that is known, and that one.

    Examples
    --------
    >>> mistaken(["x", "--size", "3", "--seed=4"], ["--seeds", "--start", "-n"])
    ('--seed', '--seeds')
    """
    names = [option.removeprefix("--") for option in known if option.startswith("--")]
    for word in unknown:
        if word.startswith("--"):
            name = word.removeprefix("--").partition("=")[0]
            begun = [own for own in names if len(name) >= _LEAST_PREFIX and own.startswith(name)]
            close = begun or difflib.get_close_matches(name, names, 1, _LIKENESS)
            if close:
                return f"--{name}", f"--{close[0]}"
    return None


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"it is a number from {least}, not {text!r}")
    return int(text)
