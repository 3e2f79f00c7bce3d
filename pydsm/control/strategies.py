"""Who goes on: a random walk, or PCT.

**Random walk.**  At each step one of those who can run, each with the same chance.  A bug
that needs one worker to be held up for long while another one gets far is rare under it.

**PCT** (Burckhardt, Kothari, Musuvathi and Nagarakatti, *A randomized scheduler with
probabilistic guarantees of finding bugs*, 2010).  Workers get random priorities, and the
highest that can run runs.  At ``depth - 1`` random ones of the expected steps, whoever is
about to make that step falls below all others.  A bug that takes `depth` ordered events
in a program of n workers and k steps is found by one run with a chance of at least
``1 / (n * k**(depth - 1))``, whatever the program; most are found far more often.

The proof is for programs in which every worker blocks rather than spins.  One that asks
again and again, as in ``while True: with Q.locked(0): ...``, would run for ever if it has the
highest priority.  So who has made as many steps in a row as a whole run is expected to
have, while others could run, falls below all others (the idea of Musuvathi and Qadeer,
*Fair stateless model checking*, 2008).
"""

from __future__ import annotations

import itertools
from typing import Final, Protocol

from pydsm.control.board import Board, Word, place
from pydsm.control.board import Rank as RankWord
from pydsm.control.draws import STRIDE, WORD, draws, scatter
from pydsm.control.plan import Plan

__all__ = ["PCT", "RandomWalk", "Strategy", "lowest", "strategy_of"]

_FLOOR: Final = 1 << 32  # priorities of those who fell because they seemed to spin lie below
_SHORTEST_PATIENCE: Final = 50
_COUNT: Final = (1 << 32) - 1


class Strategy(Protocol):
    """Decides who goes on; all that changes is on the board."""

    def begin(self) -> None:
        """Get ready for a run; the seed is on the board."""

    def step(self, rank: int, step: int) -> None:
        """See a worker come to a step, numbered from 1 within the run."""

    def pick(self, able: int) -> int:
        """Return one of the workers whose bits are set."""


class RandomWalk:
    """Each of those who can run, with the same chance."""

    def __init__(self, board: Board) -> None:
        self._words = board.words

    def begin(self) -> None:
        """Take the seed."""
        self._words.store(Word.RANDOM, self._words.load(Word.SEED))

    def step(self, rank: int, step: int) -> None:
        """Need nothing."""

    def pick(self, able: int) -> int:
        """Draw one."""
        if able & able - 1 == 0:
            return able.bit_length() - 1
        state = self._words.load(Word.RANDOM) + STRIDE & WORD
        self._words.store(Word.RANDOM, state)
        for _ in range(scatter(state) % able.bit_count()):
            able &= able - 1
        return lowest(able)


class PCT:
    """The highest priority, which changes at a few random steps."""

    def __init__(self, board: Board, depth: int, steps: int) -> None:
        self._words, self._size = board.words, board.size
        self._depth, self._steps = depth, steps
        self._patience = max(_SHORTEST_PATIENCE, steps)
        self._changes: dict[int, int] | None = None

    def begin(self) -> None:
        """Draw the priorities."""
        numbers = draws(self._words.load(Word.SEED))
        order = sorted(range(self._size), key=dict(zip(range(self._size), numbers, strict=False)).__getitem__)
        for position, rank in enumerate(order):
            self._words.store(place(rank, RankWord.PRIORITY), _FLOOR + self._depth + position)
        self._words.store(Word.FLOOR, _FLOOR)
        self._words.store(Word.STREAK, 0)
        self._changes = None

    def changes(self) -> dict[int, int]:
        """Return at which steps who steps falls, and how far: the same in every process."""
        if self._changes is None:
            numbers = itertools.islice(draws(self._words.load(Word.SEED)), self._size, None)
            count = min(self._depth - 1, self._steps)
            found: dict[int, int] = {}
            while len(found) < count:
                found.setdefault(next(numbers) % self._steps + 1, count - len(found))
            self._changes = found
        return self._changes

    def step(self, rank: int, step: int) -> None:
        """Lower the worker's priority if it is time."""
        words = self._words
        change = self.changes().get(step)
        if change is not None:
            words.store(place(rank, RankWord.PRIORITY), _FLOOR + change - 1)
        self._end_spinning(rank)

    def _end_spinning(self, rank: int) -> None:
        words, streak = self._words, self._words.load(Word.STREAK)
        alone = words.load(Word.RUNNABLE) & ~words.load(Word.GONE) == 1 << rank
        count = (streak & _COUNT) + 1 if streak >> 32 == rank + 1 and not alone else 0
        if count > self._patience:
            floor = words.load(Word.FLOOR) - 1
            words.store(Word.FLOOR, floor)
            words.store(place(rank, RankWord.PRIORITY), floor)
            count = 0
        words.store(Word.STREAK, rank + 1 << 32 | min(count, _COUNT))

    def pick(self, able: int) -> int:
        """Return the one with the highest priority."""
        best, highest = lowest(able), -1
        while able:
            rank = lowest(able)
            able &= able - 1
            priority = self._words.load(place(rank, RankWord.PRIORITY))
            if priority > highest:
                best, highest = rank, priority
        return best


def strategy_of(plan: Plan, board: Board) -> Strategy:
    """Return the strategy that a plan names."""
    return PCT(board, plan.depth, plan.steps) if plan.strategy == "pct" else RandomWalk(board)


def lowest(bits: int) -> int:
    """Return the number of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
