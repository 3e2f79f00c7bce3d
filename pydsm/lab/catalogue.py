"""The litmus tests that come with pydsm, and tests in files of your own."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from typing import Final

from pydsm.errors import UnknownNameError
from pydsm.lab.parser import parse
from pydsm.lab.program import Test

__all__ = ["load", "names"]

_SUFFIX: Final = ".litmus"


@cache
def names() -> tuple[str, ...]:
    """Return the names of the tests that come with pydsm, each before its variants.

    Examples
    --------
    >>> names()[:3]
    ('SB', 'SB+fence', 'SB+fences')
    """
    order = (resources.files("pydsm.lab") / "tests" / "order.txt").read_text(encoding="utf-8")
    return tuple(order.split())


def load(test: str | os.PathLike[str] | Test) -> Test:
    r"""Return a test by its name or by the path of its file (``*.litmus``).

    Raises
    ------
    UnknownNameError
        There is no test of that name; the message lists those there are.
    FileNotFoundError, LitmusError

    Examples
    --------
    >>> load("MP").question
    'exists (1:r0=1 /\\ 1:r1=0)'
    """
    if isinstance(test, Test):
        return test
    path = os.fspath(test)
    if path.endswith(_SUFFIX) or os.sep in path:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    if path not in names():
        raise UnknownNameError(f"there is no litmus test {path!r}; there are {', '.join(names())}, or files *{_SUFFIX}")
    return _shipped(path)


@cache
def _shipped(name: str) -> Test:
    file = resources.files("pydsm.lab") / "tests" / f"{name}{_SUFFIX}"
    return parse(file.read_text(encoding="utf-8"), file.name)
