from __future__ import annotations

import os

import pytest

from tests.model.explore import explore
from tests.model.meeting import FLAWS, Meeting

CONTINUE, ABORT = False, True
TEAMS = [("ww", 2, CONTINUE), ("we", 2, CONTINUE), ("wi", 2, CONTINUE), ("wm", 2, CONTINUE), ("wm", 2, ABORT)]
TEAMS += [("mm", 1, CONTINUE), ("www", 1, CONTINUE), ("wwe", 2, CONTINUE), ("wwi", 1, CONTINUE), ("wwm", 1, ABORT)]
CAUGHT_IN = {
    "announce after look": ("ww", 2, CONTINUE),
    "bell after look": ("ww", 2, CONTINUE),
    "ring before step": ("ww", 2, CONTINUE),
    "ring without change": ("ww", 2, CONTINUE),
    "step without comparing": ("wm", 2, CONTINUE),
    "death before coming": ("wm", 2, CONTINUE),
    "look before death": ("wm", 2, CONTINUE),
    "no ring after death": ("wm", 2, CONTINUE),
    "polite ring after death": ("wm", 2, CONTINUE),
    "silent failure": ("wi", 2, CONTINUE),
    "silent return": ("we", 2, CONTINUE),
    "trouble after generation": ("ww", 2, CONTINUE),
}


@pytest.mark.parametrize(("workers", "rounds", "abort"), TEAMS)
def test_every_interleaving_meets_and_leaves_nobody_asleep(workers: str, rounds: int, abort: bool) -> None:
    states, finding = explore(Meeting(workers, rounds, abort=abort))
    assert finding is None, f"{finding}"
    assert states > 700


@pytest.mark.skipif(not os.environ.get("PYDSM_TORTURE"), reason="PYDSM_TORTURE=1 explores the large ones")
@pytest.mark.parametrize("workers", ["wwm", "wmm", "wim"])
def test_a_death_among_three_leaves_nobody_asleep(workers: str) -> None:
    states, finding = explore(Meeting(workers, 1))
    assert finding is None, f"{finding}"
    assert states > 200_000


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    workers, rounds, abort = CAUGHT_IN[flaw]
    _, finding = explore(Meeting(workers, rounds, abort=abort, flaw=flaw))
    assert finding is not None, FLAWS[flaw]


def test_flaws_are_caught_where_nothing_is_wrong_without_them() -> None:
    assert set(CAUGHT_IN.values()) <= set(TEAMS)
