"""Leaving a worker in every way there is but returning, in the middle of a region."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import pydsm
from tests.torture.figures import Figures
from tests.torture.processes import names_with, quiet_parts
from tests.torture.settings import Settings

__all__ = ["exits"]


def _raise() -> None:
    raise LookupError("on purpose")


def _crash() -> None:
    ctypes.string_at(0)


_WAYS: dict[str, tuple[Callable[[], Any], int | None]] = {
    "os._exit(0)": (lambda: os._exit(0), 0),
    "os._exit(3)": (lambda: os._exit(3), 3),
    "sys.exit(3)": (lambda: sys.exit(3), None),
    "an exception": (_raise, None),
    "a segmentation fault": (_crash, -signal.SIGSEGV),
}
"""How to leave, and the exit code of those ways that are a death."""

_PLACES = ("a region", "a region with undo", "a region in a region", "a shared region", "a group", "a named lock")


def exits(settings: Settings) -> Figures:
    """Leave in each way from each place, under both rules of what a death means."""
    figures, dice = Figures("exits"), random.Random(f"{settings.seed}/exits")
    began = time.monotonic()
    cases = list(itertools.product(_WAYS, _PLACES, ("abort", "continue")))
    dice.shuffle(cases)
    for number in range(settings.count):
        way, place, on_death = cases[number % len(cases)]
        with pydsm.Team(2, on_death=on_death) as team:
            namespace = team.namespace
            _leave_once(team, way, place, on_death, figures, settings.patience)
        figures.names_left += len(names_with(namespace))
        figures.injected += 1
        settings.on_progress(1)
    figures.seconds = time.monotonic() - began
    return figures


def _leave_once(team: pydsm.Team, way: str, place: str, on_death: str, figures: Figures, patience: float) -> None:
    A = team.array("A", 4, np.int64)
    team.array("B", 4, np.int64)
    team.array("flag", 1, np.int64)
    team.lock("L")
    code, case = _WAYS[way][1], f"{way} in {place}, on_death={on_death!r}"
    is_death = code is not None
    seen = None
    try:
        error, seen = team.run(_program, way, place, patience)
    except pydsm.WorkerError as raised:
        error = raised
        if is_death and on_death == "continue":
            figures.problems.append(f"{case}: run() raised {raised!r}")
    _check_report(error, code, case, figures)
    if seen is not None:
        figures.note(f"the other one: {seen}")
        if seen == "timed out":
            figures.hangs += 1
        if is_death and place != "a shared region" and seen == "free":
            figures.violations += 1
            figures.problems.append(f"{case}: the rows came free in silence")
    _check_after(team, A, place, case, is_death, figures, patience)


def _check_report(error: Any, code: int | None, case: str, figures: Figures) -> None:
    if code is None:
        if not isinstance(error, pydsm.WorkerError) or isinstance(error, pydsm.WorkerDiedError):
            figures.problems.append(f"{case}: reported as {error!r}")
        return
    if not isinstance(error, pydsm.WorkerDiedError) or error.rank != 0 or error.exitcode != code:
        figures.problems.append(f"{case}: reported as {error!r}")
    elif code == -signal.SIGSEGV and "egmentation fault" not in error.remote_traceback:
        figures.problems.append(f"{case}: no traceback of the crash: {error.remote_traceback!r}")


def _check_after(
    team: pydsm.Team, A: pydsm.GlobalArray, place: str, case: str, is_death: bool, figures: Figures, patience: float
) -> None:
    """The rows are free, or say that their owner died; what was under undo is as it was."""
    try:
        if place == "a named lock":
            if not team["L"].acquire(timeout=patience, recover=True):
                raise pydsm.LockTimeoutError("the lock is held in silence")
            team["L"].release()
        else:
            with A.locked(timeout=patience, recover=True):
                pass
    except pydsm.LockTimeoutError as error:
        figures.hangs += 1
        figures.problems.append(f"{case}: {error}")
    if place in ("a region with undo", "a group") and A[1]:
        figures.torn += 1
        figures.problems.append(f"{case}: {A[1]} in the row instead of 0")
    if not is_death and team["A"].statistics().held_exclusive:
        figures.problems.append(f"{case}: rows are still held")


def _program(worker: pydsm.Worker, way: str, place: str, patience: float) -> str:
    if worker.rank == 0:
        quiet_parts(stderr=way != "a segmentation fault")
        with _inside(worker, place):
            if place != "a shared region":
                worker["A"][1] = 7
            worker["flag"][0] = 1
            time.sleep(0.002)
            _WAYS[way][0]()
    while not worker["flag"][0]:
        time.sleep(0.0005)
    return _try(worker, place, patience)


@contextmanager
def _inside(worker: pydsm.Worker, place: str) -> Iterator[None]:
    A, B = worker["A"], worker["B"]
    if place == "a region":
        with A.locked(1):
            yield
    elif place == "a region with undo":
        with A.locked(1, undo=True):
            yield
    elif place == "a region in a region":
        with A.locked(slice(0, 3)), A.locked(1), B.locked(0):
            yield
    elif place == "a shared region":
        with A.locked(1, shared=True):
            yield
    elif place == "a group":
        with pydsm.locked((A, 1), (B, 2), undo=True):
            yield
    else:
        with worker["L"]:
            yield


def _try(worker: pydsm.Worker, place: str, patience: float) -> str:
    """Take what the other one had, and say what came of it."""
    try:
        if place == "a named lock":
            if not worker["L"].acquire(timeout=patience):
                return "timed out"
            worker["L"].release()
        else:
            with worker["A"].locked(1, timeout=patience):
                pass
    except pydsm.LockTimeoutError:
        return "timed out"
    except pydsm.OwnerDiedError:
        return "OwnerDiedError"
    return "free"
