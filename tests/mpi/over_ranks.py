"""The contract over MPI: collected by name only, on rank 0 of a job (`inside`)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

import pydsm
from pydsm.native import held
from tests.conftest import our_names
from tests.memory.contract import *  # noqa: F403
from tests.memory.contract import NewTeam


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Leave nothing on any node; the descriptors by which ranks watch each other stay."""
    yield
    gc.collect()
    assert our_names() == [], "names left in shared memory"
    assert held() == 0, "rows or locks still held"


@pytest.fixture
def new_team() -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, **options)

    return make
