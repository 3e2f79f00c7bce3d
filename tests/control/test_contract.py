"""The contract holds under every schedule: these tests are those of `tests/memory/contract.py`."""

from __future__ import annotations

from typing import Any

import pytest

import pydsm
from tests.effort import LONG
from tests.memory import contract
from tests.memory.contract import *  # noqa: F403
from tests.memory.contract import NewTeam


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do each thing a few times: it is the order of things that differs, and not by luck."""
    monkeypatch.setattr(contract, "ROUNDS", 24)


ASKED: dict[str, dict[str, Any]] = {
    "1": {"schedule": 1},
    "2": {"schedule": 2},
    "pct": {"schedule": "seed=3 strategy=pct steps=200"},
    "release": {"schedule": 1, "memory": "release"},
}
if LONG:
    ASKED["entry"] = {"schedule": 2, "memory": "entry"}
    ASKED["checked"] = {"schedule": 1, "check": "happens-before"}
    ASKED["weak pct"] = {"schedule": "seed=5 strategy=pct steps=300", "memory": "release"}


@pytest.fixture(params=ASKED)
def new_team(request: pytest.FixtureRequest) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, **ASKED[request.param], **options)

    return make
