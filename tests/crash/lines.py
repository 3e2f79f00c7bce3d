"""Every line of pydsm's Python code as a place to die.

A child does an operation under a trace function that counts the lines of pydsm's own files;
before the k-th of them it kills itself.  That is done for k = 1, 2, 3, ... until a child
comes through, so each line that the operation executes has been a crash, and the parent has
checked each time what was left.  A line that is reached again counts the first time, unless
the scenario says otherwise, and a scenario that differs little from another takes every m-th
point, and every 2m-th without PYDSM_LONG; with PYDSM_TORTURE set it is every bytecode of every
line the first ten times.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import pydsm
from tests.crash.children import Child, fork, kill_here
from tests.effort import LONG

__all__ = ["PATIENCE", "TORTURE", "Point", "Scenario", "crash_at_every_line"]

_PACKAGE: Final = os.path.dirname(os.path.abspath(pydsm.__file__)) + os.sep
TORTURE: Final = bool(os.environ.get("PYDSM_TORTURE"))
PATIENCE: Final = 6 * 3600 if TORTURE else 120
"""Seconds that a test may take."""
_MANY: Final = 10
_EVENT: Final = "opcode" if TORTURE else "line"


@dataclass(frozen=True)
class Point:
    """The line that a victim was about to execute."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"pydsm/{self.file}:{self.line}"


class Scenario:
    """An operation to die in, and what has to hold then."""

    visits = 1
    """How often a line counts as a place to die."""
    stride = 1
    """Of so many crash points one is taken."""
    say: Callable[[Any], None]
    """In the victim: tell the parent something."""

    def prepare(self) -> None:
        """Set the stage, in the parent, before each death."""

    def approach(self) -> None:
        """Come to where the operation begins, in the victim; nobody dies here."""

    def operate(self) -> None:
        """Do the operation, in the victim."""

    def meanwhile(self, victim: Child) -> None:
        """Do the part of others, in the parent, while the victim is at it."""

    def check(self, died: bool) -> None:
        """Look at what the victim left, in the parent, when it has ended."""

    def clear(self) -> None:
        """Clear the stage, in the parent, whatever happened."""

    def attempt(self, count: int) -> Point | None:
        """Let a victim die at the count-th crash point; None if it came through."""
        with fork(lambda say: self._live(count, say)) as victim:
            self.meanwhile(victim)
            return victim.hear()  # type: ignore[no-any-return]

    def _live(self, count: int, say: Callable[[Any], None]) -> None:
        self.say = say
        self.approach()
        self.trap(count, say)
        try:
            self.operate()
        finally:
            sys.settrace(None)

    def trap(self, count: int, say: Callable[[Any], None]) -> None:
        """In the victim: say where it is, and die, at the count-th crash point from here."""
        sys.settrace(_executioner(count, say, _MANY if TORTURE else self.visits))


def crash_at_every_line(scenario: Scenario) -> list[Point]:
    """Let a victim die at every line of the operation in turn; return those lines."""
    points: list[Point] = []
    for count in itertools.count(1, _step(scenario)):
        point = _crash(scenario, count)
        if point is None:
            break
        points.append(point)
    return points


def _step(scenario: Scenario) -> int:
    if TORTURE or scenario.stride == 1:
        return 1
    return scenario.stride if LONG else 2 * scenario.stride


def _crash(scenario: Scenario, count: int) -> Point | None:
    """Let a victim die at one crash point, and check; None if it came through."""
    point: Point | None = None
    try:
        scenario.prepare()
        point = scenario.attempt(count)
        scenario.check(point is not None)
    except BaseException as error:
        where = f"died at crash point {count}, before {point}" if point else f"had not died at crash point {count}"
        error.add_note(f"{type(scenario).__name__}: the victim {where}")
        raise
    finally:
        scenario.clear()
    return point


def _executioner(count: int, say: Callable[[Any], None], visits: int) -> Callable[..., Any]:
    left, seen, pid = count, Counter[tuple[Any, int]](), os.getpid()

    def enter(frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        if os.getpid() != pid:
            sys.settrace(None)  # a worker of the victim's
            return None
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        frame.f_trace_opcodes = TORTURE
        return step

    def step(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        nonlocal left
        if event == _EVENT:
            place = frame.f_code, frame.f_lasti if TORTURE else frame.f_lineno
            seen[place] += 1
            left -= seen[place] <= visits
            if not left:
                say(Point(frame.f_code.co_filename.removeprefix(_PACKAGE), frame.f_lineno))
                kill_here()
        return step

    return enter
