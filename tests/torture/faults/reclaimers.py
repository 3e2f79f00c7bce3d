"""Teams are made and killed while others take back the names of the dead, and are killed as well."""

from __future__ import annotations

import mmap
import os
import random
import struct
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import pydsm
from pydsm.core import names
from pydsm.ipc import catalog
from tests.torture.figures import Figures
from tests.torture.processes import Program, eventually, names_with
from tests.torture.settings import Settings

__all__ = ["reclaimers"]

_PROGRAMS = 4
_RECLAIMERS = 2
_TEAMS, _STOLEN, _SWEEPS = range(3)


class _Counters:
    """Counts that outlive who counts; each place has counters of its own, so nothing is lost."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * 4 * (_PROGRAMS + _RECLAIMERS))

    def add(self, place: int, what: int) -> None:
        offset = 8 * (4 * place + what)
        struct.pack_into("q", self._memory, offset, struct.unpack_from("q", self._memory, offset)[0] + 1)

    def total(self, what: int) -> int:
        places = range(_PROGRAMS + _RECLAIMERS)
        return sum(struct.unpack_from("q", self._memory, 8 * (4 * place + what))[0] for place in places)


def reclaimers(settings: Settings, sabotage: Callable[[str], None] = lambda prefix: None) -> Figures:
    """Kill `count` programs, reclaimers among them; no living one may lose a name, none may be left.

    `sabotage` is called in each reclaimer first, with what all names of this run begin with.
    """
    figures, dice = Figures("reclaimers"), random.Random(f"{settings.seed}/reclaimers")
    began, prefix, counters = time.monotonic(), names.new_namespace(), _Counters()
    serial = 0

    def start(place: int) -> Program:
        nonlocal serial
        serial += 1
        if place < _PROGRAMS:
            return Program(partial(_make_teams, f"{prefix}-{serial}", place, counters, serial))
        return Program(partial(_reclaim, place, counters, prefix, sabotage))

    running = [start(place) for place in range(_PROGRAMS + _RECLAIMERS)]
    try:
        while figures.injected < settings.count:
            time.sleep(dice.expovariate(1 / 0.02))
            place = dice.randrange(len(running))
            if (code := running[place].poll()) is not None:
                figures.problems.append(f"a program ended by itself with exit code {code}")
            running[place].kill_all()
            if not running[place].all_ended(settings.patience):
                figures.hangs += 1
            running[place].close()
            running[place] = start(place)
            figures.injected += 1
            settings.on_progress(1)
    finally:
        for program in running:
            program.kill_all()
        for program in running:
            program.all_ended(settings.patience)
            program.close()
    eventually(lambda: bool(catalog.reclaim() or True) and not names_with(prefix), 2.0, pause=0.01)
    figures.names_left = len(names_with(prefix))
    figures.violations = counters.total(_STOLEN)
    figures.operations = counters.total(_TEAMS)
    figures.note("teams made", counters.total(_TEAMS))
    figures.note("sweeps by reclaimers", counters.total(_SWEEPS))
    figures.seconds = time.monotonic() - began
    return figures


def _make_teams(prefix: str, place: int, counters: _Counters, seed: int) -> None:
    """Make a team, see that its names stay as long as it lives, take it down, and again."""
    dice, number = random.Random(seed), 0
    while True:
        namespace = f"{prefix}-{number}"
        with pydsm.Team(1, namespace=namespace) as team:
            counters.add(place, _TEAMS)
            team.array("A", 4, np.int64)
            team.lock("L")
            if dice.random() < 0.3:
                team.run(lambda worker: None)
            kept = [f"pydsm.{namespace}.{part}" for part in ("team", "data.A", "lock.A", "lock.L")]
            for _ in range(dice.randrange(4)):
                if not all(os.path.exists(f"/dev/shm/{name}") for name in kept):
                    counters.add(place, _STOLEN)
                time.sleep(dice.choice((0, 0.002)))
        number += 1


def _reclaim(place: int, counters: _Counters, prefix: str, sabotage: Callable[[str], None]) -> None:
    sabotage(prefix)
    while True:
        catalog.reclaim()
        counters.add(place, _SWEEPS)
