"""SIGKILL of a program's parent, or of all of it at once; the next program takes the names back."""

from __future__ import annotations

import mmap
import random
import signal
import time
from functools import partial

import numpy as np

import pydsm
from pydsm.core import names
from tests.torture.figures import Figures
from tests.torture.processes import Program, eventually, fork, names_with
from tests.torture.settings import Settings

__all__ = ["everything", "parent"]

_SIZE = 3


def parent(settings: Settings) -> Figures:
    """Kill the parent of busy workers.  Recovery is from the kill until the last worker is gone."""
    figures, dice = Figures("parent"), random.Random(f"{settings.seed}/parent")
    began = time.monotonic()
    for _ in range(settings.count):
        phase, namespace, ready = dice.choice(sorted(_PHASES)), names.new_namespace(), mmap.mmap(-1, _SIZE)
        program = Program(partial(_be_busy, namespace, phase, ready))
        try:
            if not eventually(partial(_all_set, ready), settings.patience):
                figures.problems.append(f"the program did not get to {phase}")
            time.sleep(dice.uniform(0, 0.01))
            killed = time.monotonic()
            program.send(signal.SIGKILL)
            if program.all_ended(settings.patience):
                figures.recovery.append((time.monotonic() - killed) * 1e3)
            else:
                figures.hangs += 1
                figures.problems.append(f"workers in {phase} outlived their parent")
        finally:
            program.close()
        figures.injected += 1
        figures.note(f"in {phase}")
        figures.names_left += _left_by(namespace, settings.patience)
        settings.on_progress(1)
    figures.seconds = time.monotonic() - began
    return figures


def everything(settings: Settings) -> Figures:
    """Kill parent and workers together, from the first instruction on; a bystander keeps every name.

    Recovery is what the next program's start took that found the names of the dead.
    """
    figures, dice = Figures("everything"), random.Random(f"{settings.seed}/everything")
    began = time.monotonic()
    with pydsm.Team(2) as bystander:
        bystander.array("A", 4)
        bystander.run(lambda worker: worker.barrier())
        kept = names_with(bystander.namespace)
        for _ in range(settings.count):
            prefix = names.new_namespace()
            program = Program(partial(_live_fast, prefix))
            try:
                time.sleep(dice.choice((0.005, 0.03, 0.08)) * dice.random())
                if (code := program.poll()) is not None:
                    figures.problems.append(f"a program ended by itself with exit code {code}")
                program.kill_all()
                if not program.all_ended(settings.patience):
                    figures.hangs += 1
            finally:
                program.close()
            figures.injected += 1
            found = names_with(prefix)
            figures.note("died with names", bool(found))
            since = time.monotonic()
            figures.names_left += _left_by(prefix, settings.patience)
            if found:
                figures.recovery.append((time.monotonic() - since) * 1e3)
            missing = set(kept) - set(names_with(bystander.namespace))
            if missing:
                figures.violations += 1
                figures.problems.append(f"a living bystander lost {sorted(missing)}")
            settings.on_progress(1)
        if bystander.run(lambda worker: worker.rank) != [0, 1]:
            figures.problems.append("the bystander does not run any more")
    figures.seconds = time.monotonic() - began
    return figures


def _left_by(prefix: str, patience: float) -> int:
    """Let a new program start; return how many names of the dead one are there still.

    The dead give up their kernel locks a moment after their pipe is closed, so the next
    program may come too early, and the one after it takes the names.
    """

    def start_and_look() -> bool:
        fork(_start_once).wait(patience)
        return not names_with(prefix)

    eventually(start_and_look, min(patience, 2.0), pause=0.01)
    return len(names_with(prefix))


def _start_once() -> None:
    pydsm.Team(1).terminate()


def _live_fast(prefix: str) -> None:
    """Make a team, use it, take it down, and again."""
    number = 0
    while True:
        with pydsm.Team(2, namespace=f"{prefix}-{number}") as team:
            team.array("A", 100, np.int64)
            team.lock("L")
            team.run(_add)
        number += 1


def _add(worker: pydsm.Worker) -> None:
    for _ in range(5):
        with worker["A"].locked(slice(0, 3), undo=True) as rows:
            rows += 1
        with worker["L"]:
            worker["A"][5] += 1
        worker.barrier()


def _all_set(flags: mmap.mmap) -> bool:
    return flags[:] == b"\1" * len(flags)


def _be_busy(namespace: str, phase: str, ready: mmap.mmap) -> None:
    with pydsm.Team(_SIZE, namespace=namespace) as team:
        team.array("A", 4, np.int64)

        def program(worker: pydsm.Worker) -> None:
            ready[worker.rank] = 1
            _PHASES[phase](worker)

        team.run(program)


def _compute(worker: pydsm.Worker) -> None:
    while True:
        pass


def _sleep(worker: pydsm.Worker) -> None:
    time.sleep(600)


def _wait(worker: pydsm.Worker) -> None:
    with worker["A"].locked(0, undo=True):
        time.sleep(600)


def _contend(worker: pydsm.Worker) -> None:
    while True:
        with worker["A"].locked(0) as row:
            row += 1


def _barrier(worker: pydsm.Worker) -> None:
    while worker.rank:
        worker.barrier()
    time.sleep(600)


_PHASES = {
    "a computation": _compute,
    "a sleep": _sleep,
    "a region and waits for it": _wait,
    "contention": _contend,
    "a barrier": _barrier,
}
