from __future__ import annotations

from typing import Any

import pytest

from tests.effort import LONG
from tests.model.crashes import FLAWS, CrashModel
from tests.model.explore import explore

TEAMS: dict[str, dict[str, Any]] = {
    "two": {"modes": "xx"},
    "reader": {"modes": "xs"},
    "recoverer": {"modes": "xr"},
    "reader and undo": {"modes": "us"},
    "timeouts": {"modes": "tx", "rounds": 2},
    "timeouts and reader": {"modes": "ts", "rounds": 2},
    "taking over": {"modes": "rr", "abandoned": True},
    "taking over with a timeout": {"modes": "rt", "abandoned": True},
    "taking over with undo": {"modes": "ru", "abandoned": True},
    "parent": {"modes": "xxb", "crashes": 2},
    "parent and reader": {"modes": "xsb"},
    "parent and recoverer": {"modes": "xrb", "crashes": 2},
    "parent and undo": {"modes": "uub", "crashes": 2},
    "somebody new": {"modes": "xs", "births": 1},
    "new recoverer": {"modes": "rs", "births": 1},
    "new recoverer, two die": {"modes": "xr", "crashes": 2, "births": 1},
    "somebody new and undo": {"modes": "uu", "births": 1},
    "three": {"modes": "xxx", "crashes": 2},
    "three and recoverer": {"modes": "xsr"},
    "three and undo": {"modes": "uur"},
    "three taking over and reader": {"modes": "rrs", "abandoned": True},
    "three refused, nobody dies": {"modes": "rxx", "crashes": 0, "abandoned": True},
}
if LONG:
    TEAMS |= {
        "three and reader": {"modes": "xxs"},
        "three and readers": {"modes": "xss"},
        "three and recoverers": {"modes": "xrr", "crashes": 2},
        "three taking over": {"modes": "rrx", "abandoned": True},
    }
CAUGHT_IN = {
    "bury the slow": ("recoverer", "two are inside"),
    "bury as free": ("two", "wrong rows are free"),
    "bury without wake": ("parent", "somebody is stuck"),
    "bury without lock": ("parent and undo", "wrong rows are free"),
    "bury on old proof": ("somebody new", "somebody is stuck"),
    "sit without burial": ("somebody new", "wrong rows are seen"),
    "wake before mark": ("parent", "somebody is stuck"),
    "forget shared bit": ("reader", "something stays held"),
    "forget lot bit": ("two", "something stays held"),
    "mark before roll back": ("parent and undo", "wrong rows are seen"),
    "disarm before roll back": ("parent and undo", "wrong rows are free"),
    "arm after write": ("parent and undo", "wrong rows are seen"),
    "release before disarm": ("reader and undo", "wrong rows are free"),
    "recover by store": ("taking over", "two are inside"),
    "no look after take-over": ("new recoverer", "two are inside"),
    "take-over never got in": ("taking over", "wrong rows are free"),
    "believe what is published": ("timeouts", "wrong rows are free"),
    "failed take-over frees": ("recoverer", "wrong rows are free"),
    "timed-out take-over frees": ("new recoverer", "wrong rows are seen"),
    "nobody to wake": ("three refused, nobody dies", "somebody is stuck"),
    "one to wake": ("three refused, nobody dies", "somebody is stuck"),
}


@pytest.mark.parametrize("team", TEAMS)
def test_whoever_dies_the_others_get_on_and_never_see_half_an_update(team: str) -> None:
    states, finding = explore(CrashModel(**TEAMS[team]))
    assert finding is None, f"{finding}"
    assert states > 300


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    team, what = CAUGHT_IN[flaw]
    _, finding = explore(CrashModel(**TEAMS[team], flaw=flaw))
    assert finding is not None, FLAWS[flaw]
    assert finding.what == what, f"{finding}"
