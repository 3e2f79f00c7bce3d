"""The contract holds under every schedule: these tests are those of `tests/memory/contract.py`."""

from __future__ import annotations

from typing import Any

import pytest

import pydsm
from tests.memory import contract
from tests.memory.contract import *  # noqa: F403
from tests.memory.contract import NewTeam


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do each thing a few times: it is the order of things that differs, and not by luck."""
    monkeypatch.setattr(contract, "ROUNDS", 24)


@pytest.fixture(params=[1, 2, "seed=3 strategy=pct steps=200"], ids=["1", "2", "pct"])
def new_team(request: pytest.FixtureRequest) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, schedule=request.param, **options)

    return make
