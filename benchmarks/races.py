"""What a check for data races costs, beside the same statement in a team that does not ask for it.

One of four workers measures, and the others have returned: what they have accessed decides what
is looked at, and they have accessed nothing.  The arrays of a team without a check are of the class
that they have always been (see "NumPy on a shared array"), so what is not asked for costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.attempts import Row
from benchmarks.measure import Comparison, Target, compare, statement
from benchmarks.settings import Settings
from pydsm import Team, Worker

__all__ = ["TITLE", "rows"]

TITLE = "Looking for data races"
_ROWS = 1_000_000
_WORKERS = 4
_BESIDE = "the same, unchecked"
_STATEMENTS = {
    "A[i]": ("A[i]", 4),
    "A[i] += 1": ("A[i] += 1", 4),
    "with A.locked(i): A[i] += 1": ("with A.locked(i): A[i] += 1", 16),
    "A[i:i + 1000] += 1": ("A[i:i + 1000] += 1", 6),
    "A[i:i + 100000] += 1": ("A[i:i + 100_000] += 1", 2),
    "A += 1, a million rows": ("np.add(A, 1, out=A)", 1.2),
    "A[rows] += 1, 100 scattered rows": ("A[rows] += 1", 16),
    "A.fetch_add(i, 1)": ("A.fetch_add(i, 1)", 50),
    "with lock: pass": ("with lock: pass", 50),
}
"""What it is called, the code, and how many times as long it may take."""


def rows(settings: Settings) -> Iterator[Row]:
    """Yield each statement, checked beside unchecked."""
    with Team(_WORKERS, check="happens-before") as team, Team(1) as plain:
        team.array("A", _ROWS, int)
        team.lock("lock")
        unchecked = {"A": plain.array("A", _ROWS, int), "lock": plain.lock("lock")}
        for name in _STATEMENTS:
            settings.say(name)
            yield from team.run(_measure, name, unchecked, settings.rounds, settings.seconds)[0]


def _measure(
    worker: Worker, name: str, unchecked: dict[str, Any], rounds: int, seconds: float
) -> list[Comparison] | None:
    if worker.rank:
        return None
    code, limit = _STATEMENTS[name]
    checked = {"A": worker["A"], "lock": worker["lock"]}
    others = {"i": 4321, "np": np, "rows": np.random.default_rng(1).integers(_ROWS, size=100)}
    return compare(
        name,
        statement(code, **checked, **others),
        {_BESIDE: statement(code, **unchecked, **others)},
        rounds=rounds,
        seconds=seconds,
        target=Target(limit),
    )
