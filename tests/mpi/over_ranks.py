"""The contract over MPI: collected by name only, on rank 0 of a job (`inside`)."""

from __future__ import annotations

from typing import Any

import pytest

import pydsm
from tests.memory.contract import *  # noqa: F403
from tests.memory.contract import NewTeam


@pytest.fixture
def new_team() -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, **options)

    return make
