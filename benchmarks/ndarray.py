"""Indexing and arithmetic, which pydsm leaves to NumPy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Comparison, Target, compare, statement
from benchmarks.settings import Settings
from pydsm import Team

__all__ = ["TITLE", "rows"]

TITLE = "NumPy on a shared array"
_LENGTH = 100
_LIKE_A_SUBCLASS = (
    "A[i]",
    "A[i] = v",
    "A[10:20]",
    "A + 1",
    "A[10:20] += 1",
    "np.add(part, 1, out=part)",
)
_LIKE_A_MEMMAP = ("A + 1", "A.sum()")


class X(np.ndarray[Any, np.dtype[Any]]):
    """The least that a subclass can be."""


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield each operation beside the same on a bare subclass, or on a memmap."""
    with Team(1) as team, tempfile.NamedTemporaryFile() as file:
        A = team.array("A", _LENGTH)
        bare = np.zeros(_LENGTH).view(X)
        memmap = np.memmap(file.name, float, "w+", shape=_LENGTH)
        for code in _LIKE_A_SUBCLASS:
            yield from _compare(code, A, "class X(np.ndarray)", bare, Target(1.05), settings)
        for code in _LIKE_A_MEMMAP:
            yield from _compare(code, A, "np.memmap", memmap, Target(1), settings)


def _compare(
    code: str, A: np.ndarray[Any, Any], peer: str, B: np.ndarray[Any, Any], target: Target, settings: Settings
) -> list[Comparison]:
    return compare(
        code,
        statement(code, **_names(A)),
        {peer: statement(code, **_names(B))},
        rounds=settings.rounds,
        seconds=settings.seconds,
        target=target,
    )


def _names(A: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"A": A, "part": A[10:20], "i": 50, "v": 1.5, "np": np}
