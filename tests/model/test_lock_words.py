from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.lock_words import FLAWS, Model

TEAMS = [("xx", 1), ("xs", 1), ("ss", 1), ("xxx", 1), ("xxs", 1), ("xss", 1), ("sss", 1), ("xxt", 1), ("xst", 1)]
TEAMS += [("xx", 3), ("xs", 3), ("ss", 3), ("tx", 2), ("ts", 2)]
CAUGHT_IN = {
    "wake before release": ("xs", 1),
    "announce after look": ("xs", 1),
    "publish after look": ("xs", 1),
    "no look after winning": ("xs", 1),
    "no look after sharing": ("xs", 1),
    "silent back-off": ("xs", 1),
    "no wake after shared": ("xs", 1),
    "permit after look": ("xx", 3),
    "wake the first": ("xss", 1),
    "silent time-out": ("ts", 2),
    "waiting is up": ("xx", 1),
    "time-out keeps the word": ("ts", 2),
}


@pytest.mark.parametrize(("modes", "rounds"), TEAMS)
def test_every_interleaving_excludes_and_loses_no_wake_up(modes: str, rounds: int) -> None:
    states, finding = explore(Model(modes, rounds))
    assert finding is None, f"{finding}"
    assert states > 30


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    modes, rounds = CAUGHT_IN[flaw]
    _, finding = explore(Model(modes, rounds, flaw))
    assert finding is not None, FLAWS[flaw]


def test_flaws_are_caught_where_nothing_is_wrong_without_them() -> None:
    assert set(CAUGHT_IN.values()) <= set(TEAMS)
