from __future__ import annotations

import pytest

from tests.model.lock_words import FLAWS, Model, explore

TEAMS = ["xx", "xs", "ss", "xxx", "xxs", "xss", "sss"]


@pytest.mark.parametrize("modes", TEAMS)
def test_every_interleaving_excludes_and_loses_no_wake_up(modes: str) -> None:
    states, finding = explore(Model(modes))
    assert finding is None, f"{finding}"
    assert states > 20


@pytest.mark.parametrize("modes", ["xx", "xs", "ss"])
def test_the_same_over_several_rounds(modes: str) -> None:
    states, finding = explore(Model(modes, rounds=3))
    assert finding is None, f"{finding}"
    assert states > 500


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    findings = [
        explore(Model(modes, rounds, flaw))[1] for modes, rounds in (("xs", 1), ("xx", 2), ("xss", 1), ("xxs", 1))
    ]
    assert any(findings), FLAWS[flaw]
