from __future__ import annotations

import pytest

from tests.effort import LONG
from tests.model.explore import explore
from tests.model.turns import FLAWS, Model

PROGRAMS = [("0", 1), ("11", 0), ("22", 1), ("12", 2), ("111", 0), ("011", 1), ("001", 2), ("010", 3)]
if LONG:
    PROGRAMS += [("111", 1), ("111", 2), ("0011", 1)]
CAUGHT_IN = {
    "no look at the dead": ("12", 2),
    "look before giving": ("12", 2),
    "turn before death": ("22", 1),
    "blind take back": ("22", 1),
    "blind parent": ("22", 1),
    "only this one's": ("12", 2),
    "no alarm": ("22", 1),
    "ring before giving": ("11", 0),
    "look before announcing": ("11", 0),
    "no ring": ("11", 0),
}


@pytest.mark.parametrize(("gives", "deaths"), PROGRAMS)
def test_one_who_lives_has_the_turn_until_all_have_ended(gives: str, deaths: int) -> None:
    states, finding = explore(Model(gives, deaths))
    assert finding is None, f"{finding}"
    assert states > 5


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    gives, deaths = CAUGHT_IN[flaw]
    _, finding = explore(Model(gives, deaths, flaw=flaw))
    assert finding is not None, FLAWS[flaw]


def test_flaws_are_caught_where_nothing_is_wrong_without_them() -> None:
    assert set(CAUGHT_IN.values()) <= set(PROGRAMS)
