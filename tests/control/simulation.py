"""Threads of a pure program under the rules of the token, without processes.

A thread is a generator function of what all share.  It yields ``STEP`` where a worker comes to a
step, ``STIR`` where it changes what others may wait for, and a `Wait` where it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from pydsm.control.board import Board, Word
from pydsm.control.plan import Plan
from pydsm.control.turns import Turns

__all__ = ["STEP", "STIR", "Ending", "Shared", "Wait", "simulate"]

STEP, STIR = "step", "stir"
Shared = dict[str, Any]
Thread = Callable[[Shared], Generator[Any, Any, None]]


@dataclass(frozen=True)
class Wait:
    """What a thread waits for; it is sent whether that came."""

    until: Callable[[Shared], bool]
    timed: bool = False
    locking: bool = False


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    shared: Shared
    order: list[int]
    """Who had the turn at each decision."""
    doomed: list[int]
    """Who was told of a deadlock; it ended there."""
    steps: int
    digest: int


def simulate(threads: Sequence[Thread], plan: Plan | int, **shared: Any) -> Ending:
    """Run a program under a plan."""
    plan = Plan(plan) if isinstance(plan, int) else plan
    board = Board.private(len(threads))
    turns, words = Turns(board, plan), board.words
    running = [thread(shared) for thread in threads]
    waits: list[Wait | None] = [None] * len(threads)
    answers: list[Any] = [None] * len(threads)
    order, doomed = [], []
    turns.begin()
    while turn := words.load(Word.TURN):
        me = turn - 1
        order.append(me)
        wait = waits[me]
        if wait is not None:
            came = wait.until(shared)
            if not came and turns.is_doomed(me):
                doomed.append(me)
                running[me].close()
            elif not came and not turns.is_expired(me):
                turns.block(me, timed=wait.timed, locking=wait.locking)
                continue
            turns.resume(me)
            waits[me], answers[me] = None, came
        _go_on(turns, running, me, waits, answers, shared)
    return Ending(shared, order, doomed, words.load(Word.STEPS), words.load(Word.DIGEST))


def _go_on(
    turns: Turns,
    running: list[Generator[Any, Any, None]],
    me: int,
    waits: list[Wait | None],
    answers: list[Any],
    shared: Shared,
) -> None:
    """Run a thread until it may lose the turn."""
    while True:
        answer, answers[me] = answers[me], None
        try:
            what = running[me].send(answer)
        except StopIteration:
            return turns.leave(me)
        if what == STIR:
            turns.stir()
        elif what == STEP:
            return turns.step(me, 0)
        elif what.until(shared):
            answers[me] = True
        else:
            waits[me] = what
            return turns.block(me, timed=what.timed, locking=what.locking)
