"""Fail-fast: a worker is killed wherever it may be, and the run says so at once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import numpy as np

import pydsm
from tests.torture.figures import Figures
from tests.torture.processes import names_with
from tests.torture.settings import Settings
from tests.torture.world import Board, now

__all__ = ["abort"]

_SIZE = 3
_RUNS_PER_TEAM = 8
_ROW = 3
_ENTERED = 7  # set by a victim that is inside


def abort(settings: Settings) -> Figures:
    """Kill one worker of each run.  Recovery is from the kill to the error in the parent."""
    figures, dice = Figures("abort"), random.Random(f"{settings.seed}/abort")
    began = time.monotonic()
    while figures.injected < settings.count:
        with pydsm.Team(_SIZE) as team:
            namespace = team.namespace
            A = team.array("A", 8, np.int64)
            team.lock("L")
            for _ in range(min(_RUNS_PER_TEAM, settings.count - figures.injected)):
                _abort_once(team, dice, figures)
                _look_at_row(A, figures, settings.patience)
                settings.on_progress(1)
        figures.names_left += len(names_with(namespace))
    figures.seconds = time.monotonic() - began
    return figures


def _abort_once(team: pydsm.Team, dice: random.Random, figures: Figures) -> None:
    board, victim, phase = Board(), dice.randrange(_SIZE), dice.choice(sorted(_PHASES))
    entered = team["A"]
    entered[_ENTERED] = 0
    figures.injected += 1
    figures.note(f"in {phase}")
    try:
        team.run(_program, board, victim, phase, dice.uniform(0, 0.02))
    except pydsm.WorkerDiedError as error:
        end = now()
        figures.recovery.append((end - int(board.words[victim, Board.CONDEMNED])) / 1e6)
        if error.rank != victim or error.exitcode != -signal.SIGKILL:
            figures.problems.append(f"{error} though rank {victim} was killed in {phase}")
        told = any(f"row {_ROW} " in text for text in error.held)
        if phase in _HOLDING and entered[_ENTERED] and not told:
            figures.problems.append(f"{error} does not say that it held row {_ROW}, in {phase}: {error.held}")
    except pydsm.WorkerError as error:
        figures.problems.append(f"{type(error).__name__} instead of WorkerDiedError, in {phase}: {error}")
    else:
        figures.problems.append(f"the kill of rank {victim} in {phase} was not reported")
    living = [pid for pid in board.words[:_SIZE, Board.PID].tolist() if pid and os.path.exists(f"/proc/{pid}")]
    if living:
        figures.problems.append(f"workers {living} outlived a run that was aborted in {phase}")


def _look_at_row(A: pydsm.GlobalArray, figures: Figures, patience: float) -> None:
    """The row that the dead one held is free or says that its owner died; silence would be a hang."""
    try:
        with A.locked(_ROW, timeout=patience):
            figures.note("free afterwards")
    except pydsm.OwnerDiedError:
        figures.note("OwnerDiedError afterwards")
        with A.locked(_ROW, recover=True, timeout=patience):
            pass
    except pydsm.LockTimeoutError:
        figures.hangs += 1


def _program(worker: pydsm.Worker, board: Board, victim: int, phase: str, delay: float) -> None:
    words = board.words[worker.rank]
    words[Board.PID] = os.getpid()
    worker.barrier()
    if worker.rank == victim:

        def die() -> None:
            time.sleep(delay)  # a thread of its own: the main one may sleep in a lock
            words[Board.CONDEMNED] = now()
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=die, daemon=True).start()
    _PHASES[phase](worker, worker.rank == victim)


def _in_region(worker: pydsm.Worker, is_victim: bool, *, undo: bool = False, recover: bool = False) -> None:
    A = worker["A"]
    if not is_victim:
        time.sleep(0.001)  # the victim first, mostly
    while True:
        with A.locked(_ROW, recover=recover, undo=undo):
            A[_ENTERED] |= is_victim
            while is_victim:
                A[_ROW] += 1


def _in_undo(worker: pydsm.Worker, is_victim: bool) -> None:
    _in_region(worker, is_victim, undo=True)


def _in_wanted_region(worker: pydsm.Worker, is_victim: bool) -> None:
    """The others take over what the victim leaves, as soon as they can."""
    _in_region(worker, is_victim, recover=True)


def _in_wait(worker: pydsm.Worker, is_victim: bool) -> None:
    """The victim waits for rows that somebody holds for long."""
    if is_victim:
        time.sleep(0.001)
    while True:
        with worker["A"].locked([_ROW, 5], recover=True):
            time.sleep(0.05)


def _in_lock(worker: pydsm.Worker, is_victim: bool) -> None:
    while True:
        worker["L"].acquire(recover=True)
        while is_victim:
            pass
        worker["L"].release()


def _in_fence(worker: pydsm.Worker, is_victim: bool) -> None:
    while True:
        worker["A"].fence()


def _in_barrier(worker: pydsm.Worker, is_victim: bool) -> None:
    if not is_victim:
        time.sleep(0.1)
    while True:
        worker.barrier()


def _at_barriers(worker: pydsm.Worker, is_victim: bool) -> None:
    while True:
        worker.barrier()


def _in_compute(worker: pydsm.Worker, is_victim: bool) -> None:
    numbers = np.ones(100_000)
    while True:
        numbers.sum()


_HOLDING = ("a region", "a region with undo")
_PHASES = {
    "a region": _in_region,
    "a region with undo": _in_undo,
    "a region that others take over": _in_wanted_region,
    "a wait": _in_wait,
    "a named lock": _in_lock,
    "a fence": _in_fence,
    "a barrier": _in_barrier,
    "barrier after barrier": _at_barriers,
    "a computation": _in_compute,
}
