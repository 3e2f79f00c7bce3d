"""A storm of signals whose handlers raise, on one process that enters and leaves regions."""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

import pydsm
from pydsm.native import held
from tests.torture.figures import Figures
from tests.torture.processes import eventually, fork, names_with
from tests.torture.settings import Settings

__all__ = ["interrupts"]

_ROWS = 4


class _Rang(Exception):
    """Raised by the handler of SIGALRM."""


def interrupts(settings: Settings, sabotage: Callable[[], None] = lambda: None) -> Figures:
    """Interrupt a process `count` times, half by Ctrl-C and half by its own clock, while another one contends.

    A violation is a region that is still held afterwards, one that was left twice, an
    exception that did not arrive, or two in one region.  `sabotage` is called in the process first.
    """
    figures, dice = Figures("interrupts"), random.Random(f"{settings.seed}/interrupts")
    began = time.monotonic()
    with pydsm.Team(2) as team:
        team.array("plain", (_ROWS, 3), np.int64)
        team.array("undo", (_ROWS, 3), np.int64)
        team.array("other", (_ROWS, 3), np.int64)
        team.lock("L")
        over, progress = mmap.mmap(-1, 1), mmap.mmap(-1, 9)
        reader, writer = os.pipe()
        rival = fork(lambda: _contend(team, over, writer))

        def suffer() -> None:
            sabotage()
            _Subject(team, settings.count, settings.seed, progress).run(writer)

        subject = fork(suffer)
        os.close(writer)
        eventually(lambda: bool(progress[8]), settings.patience)  # it has its handlers
        seen, last = 0, time.monotonic()
        while subject.poll() is None:
            subject.send(signal.SIGINT)
            time.sleep(dice.random() * 0.0015)
            done = int.from_bytes(progress[:8], "little")
            if done > seen:
                settings.on_progress(done - seen)
                seen, last = done, time.monotonic()
            elif time.monotonic() - last > settings.patience:
                figures.hangs += 1
                subject.end()
        over[0] = 1
        if rival.wait(settings.patience) is None:
            figures.hangs += 1
            figures.problems.append("the rival waits for a region that nobody is in")
            rival.end()
        with os.fdopen(reader) as lines:
            for line in lines:
                _add(figures, json.loads(line))
        if subject.status != 0 or rival.status != 0:
            figures.problems.append(f"exit codes of subject and rival: {subject.status} and {rival.status}")
        namespace = team.namespace
    figures.names_left = len(names_with(namespace))
    figures.seconds = time.monotonic() - began
    return figures


def _add(figures: Figures, found: dict[str, Any]) -> None:
    for name in ("injected", "operations", "torn", "violations"):
        setattr(figures, name, getattr(figures, name) + found.get(name, 0))
    figures.problems += found["problems"]
    for what, count in found.get("notes", {}).items():
        figures.note(what, count)


class _Subject:
    """The process that is interrupted."""

    def __init__(self, team: pydsm.Team, count: int, seed: int, progress: mmap.mmap) -> None:
        self.plain, self.undo, self.other = team["plain"], team["undo"], team["other"]
        self.arrays = [self.plain, self.undo, self.other]
        self.lock, self.count, self.progress = team["L"], count, progress
        self.dice = random.Random(seed)
        self.armed = False
        self.figures = Figures("interrupts")
        self.ops: list[Callable[[], None]] = [
            self._plain,
            self._nested,
            self._undo,
            self._undo,
            self._nested_undo,
            self._group,
            self._group,
            self._shared,
            self._named,
        ]

    def run(self, writer: int) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGALRM, self._interrupt)
        self.progress[8] = 1
        while self.figures.injected < self.count:
            self._provoke()
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._look()
            self.progress[:8] = self.figures.injected.to_bytes(8, "little")
        for number in (signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        found = self.figures
        facts = {name: getattr(found, name) for name in ("injected", "operations", "torn", "violations", "notes")}
        os.write(writer, json.dumps(facts | {"problems": found.problems[:20]}).encode() + b"\n")

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt if number == signal.SIGINT else _Rang

    def _provoke(self) -> None:
        """Work until a handler raises; it does once each time."""
        figures = self.figures
        try:
            self.armed = True
            if self.dice.random() < 0.5:
                signal.setitimer(signal.ITIMER_REAL, 5e-6 + self.dice.random() * 3e-4)
            while self.armed:
                self.dice.choice(self.ops)()
                figures.operations += 1
        except KeyboardInterrupt:
            figures.note("Ctrl-C")
        except _Rang:
            figures.note("SIGALRM")
        except RuntimeError as error:
            self.armed = False
            figures.violations += 1
            figures.problems.append(f"left twice, or entered by itself: {error!r}")
        else:
            figures.violations += 1
            figures.note("swallowed")
        figures.injected += 1

    def _look(self) -> None:
        """Nothing is held, and what was under undo is whole."""
        figures = self.figures
        leaked = [array.name for array in self.arrays if any(array.holds(row, shared=True) for row in range(_ROWS))]
        if leaked or held() or self.lock.held():
            figures.violations += 1
            figures.problems.append(f"after an interrupt {held()} stripes are held, in {leaked}")
        for array in (self.undo, self.other):
            for row in range(_ROWS):
                with array.locked(row):
                    if not _is_whole(array[row]):
                        figures.torn += 1
                        figures.problems.append(f"row {row} of {array.name!r} is torn: {array[row].tolist()}")
                        array[row] = 0
        with self.undo.locked(), self.other.locked():
            if self.undo[:, 2].sum() != self.other[:, 2].sum():
                figures.torn += 1
                figures.problems.append("a group was done in part")
                self.undo[:, 2] = self.other[:, 2] = 0

    # -- operations ------------------------------------------------------------------

    def _row(self) -> int:
        return self.dice.randrange(_ROWS)

    def _plain(self) -> None:
        with self.plain.locked(self._row()) as row:
            row[0] += 1

    def _nested(self) -> None:
        row = self._row()
        with self.plain.locked(), self.plain.locked(row), self.undo.locked([row, 0], undo=True):
            self.plain[row] += 1

    def _undo(self) -> None:
        row = self._row()
        with self.undo.locked(row, undo=True) as view:
            _add_one(view)

    def _nested_undo(self) -> None:
        row = self._row()
        with self.undo.locked(row, undo=True) as view:
            _add_one(view)
            with self.other.locked(slice(0, 2), undo=True) as views:
                _add_one(views[0])
                _add_one(views[1])
            with self.undo.locked(row, undo=True) as again:
                _add_one(again)

    def _group(self) -> None:
        with pydsm.locked((self.undo, self._row()), (self.other, self._row()), undo=True) as (one, other):
            one[2] += 1
            _add_one(one)
            other[2] += 1

    def _shared(self) -> None:
        with self.plain.locked(slice(0, 2), shared=True) as view:
            view.sum()

    def _named(self) -> None:
        with self.lock:
            self.plain[0, 1] += 1


def _add_one(row: np.ndarray) -> None:
    row[0] += 1
    row[1] -= 1


def _is_whole(row: np.ndarray) -> bool:
    return int(row[0]) == -int(row[1])


def _contend(team: pydsm.Team, over: mmap.mmap, writer: int) -> None:
    """Be in the way, and look at what must always be whole."""
    arrays, lock, dice, torn = [team["plain"], team["undo"], team["other"]], team["L"], random.Random(1), 0
    problems = []
    while not over[0]:
        array = dice.choice(arrays)
        with array.locked(dice.randrange(_ROWS)) as row:
            if array is not arrays[0] and not _is_whole(row):
                torn += 1
                problems.append(f"the rival found a row of {array.name!r} torn: {row.tolist()}")
                row[:] = 0
            if dice.random() < 0.1:
                time.sleep(0.0003)
        if dice.random() < 0.2:
            with lock:
                time.sleep(0.0001)
    os.write(writer, json.dumps({"torn": torn, "problems": problems[:20]}).encode() + b"\n")
