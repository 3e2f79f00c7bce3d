from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.watchers import FLAWS, Watching

TEAMS = [((1,), 1), ((1,), 2), ((2,), 2), ((3,), 3), ((1, 2), 2), ((2, 2), 2), ((1, 3), 3)]
CAUGHT_IN = {
    "look before the lot": ((1,), 1),
    "lot before the change": ((1,), 1),
    "permit after the look": ((2,), 2),
    "no kind": ((1,), 1),
}


@pytest.mark.parametrize(("goals", "changers"), TEAMS)
def test_every_interleaving_wakes_every_watcher(goals: tuple[int, ...], changers: int) -> None:
    states, finding = explore(Watching(goals, changers))
    assert finding is None, f"{finding}"
    assert states > 10


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    goals, changers = CAUGHT_IN[flaw]
    _, finding = explore(Watching(goals, changers, flaw))
    assert finding is not None, FLAWS[flaw]


def test_flaws_are_caught_where_nothing_is_wrong_without_them() -> None:
    assert set(CAUGHT_IN.values()) <= set(TEAMS)
