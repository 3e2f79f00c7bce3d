"""What all crash tests share: their own corner of shared memory, and short sleeps."""

from __future__ import annotations

import os

import pytest

from pydsm.ipc import shm
from pydsm.sync import barrier, locktable, namespace, slots


@pytest.fixture(autouse=True)
def _own_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide other programs' names, so that the same lines are executed whatever else runs here."""
    prefix, listing = f"pydsm.t{os.getpid()}-", shm.listing
    monkeypatch.setattr(shm, "listing", lambda: [file for file in listing() if prefix in file])


@pytest.fixture(autouse=True)
def _short_parks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a waiter look again soon: thousands of times it has to notice that a holder has died."""
    for module in (locktable, barrier):
        monkeypatch.setattr(module, "_FIRST_PARK", 0.001)
        monkeypatch.setattr(module, "_LAST_PARK", 0.002)


@pytest.fixture(autouse=True)
def _few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out slots that nobody takes: they are all looked at after each death."""
    for module in (namespace, slots):
        monkeypatch.setattr(module, "MAX_SLOTS", 12)
