"""The scheduler in a worker: it gives the turn away where others may go on, and waits for it.

Only the worker's main thread is scheduled.  Other threads of it, and processes that it
forks, run when the operating system lets them, and what they wait for they ask for again and
again.  The same is true of a worker that is told to end (SIGTERM): it has to leave its
blocks, and nobody waits for that.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydsm.control.board import Rank, Word, place
from pydsm.control.turns import Turns
from pydsm.core.events import Atomic, Hold, Observer
from pydsm.errors import DeadlockError

__all__ = ["SchedulingObserver"]

_SLEEP_SECONDS: Final = 0.05  # a wake-up that is lost costs as much
_POLL_SECONDS: Final = 0.001
_POLLS: Final = 100  # of somebody who is not scheduled and would not wait for ever
_ACQUIRE, _RELEASE, _RELEASED, _BEGIN, _END, _FENCE, _SHARE, _ARRIVE, _DEPART, _ACCESS = range(10)


class SchedulingObserver(Observer):
    """Decides, with those of the other workers, when this worker runs.

    Parameters
    ----------
    turns : Turns
    rank : int
    """

    def __init__(self, turns: Turns, rank: int) -> None:
        self._turns, self._rank = turns, rank
        self._words, self._bell = turns.board.words, turns.board.bells[rank]
        self._thread = threading.get_ident()
        self._is_free = False  # told to end
        self._is_trying = False
        self._is_locking = False
        self._held: list[Hold] = []

    # -- the worker's life -------------------------------------------------------

    def begin(self) -> None:
        """Wait for the first turn."""
        self._words.store(place(self._rank, Rank.PID), os.getpid())
        self._await_turn()

    def end(self, *, failed: bool) -> None:
        """Let nobody run any more if the worker failed: what it failed of is what the seed found."""
        if failed and self._is_scheduled():
            self._turns.freeze()

    def leave(self) -> None:
        """Let others run for good."""
        if self._is_scheduled():
            self._turns.leave(self._rank)
        elif self._is_free:  # told to end, and has returned nevertheless
            self._turns.lose(self._rank, survive=True)

    def release(self) -> None:
        """Run as it likes from now on: it was told to end (SIGTERM), and has to leave its blocks."""
        self._is_free = True

    # -- waiting -----------------------------------------------------------------

    def wait(self, attempt: Callable[[], bool], what: str, *, timed: bool = False) -> bool:
        """Let others run until `attempt` succeeds; False if nothing else could move and the wait is `timed`.

        Raises
        ------
        DeadlockError
            Nothing can move any more.
        """
        if not self._is_scheduled():
            return _poll(attempt, timed=timed)
        outer, self._is_trying = self._is_trying, True  # what the attempt does is no step
        try:
            return attempt() or self._wait(attempt, what, timed=timed)
        finally:
            self._is_trying = outer

    def _wait(self, attempt: Callable[[], bool], what: str, *, timed: bool) -> bool:
        turns, me = self._turns, self._rank
        turns.board.write(me, f"waits for {what}{self._holding()}")
        try:
            while True:
                turns.block(me, timed=timed, locking=self._is_locking, loose=threading.active_count() > 1)
                self._await_turn()
                if attempt():
                    return True
                if turns.is_expired(me):
                    return False
                if turns.is_doomed(me):
                    raise self._deadlock(what)
        finally:
            if self._is_scheduled():
                turns.resume(me)

    def _await_turn(self) -> None:
        """Sleep until it is this worker's turn; what a signal's handler raises meanwhile is raised then."""
        error: BaseException | None = None
        while True:
            try:
                while not self._bell.sleep_unless(Word.TURN, self._rank + 1, _SLEEP_SECONDS):
                    pass
                break
            except SystemExit:  # told to end: at once
                raise
            except BaseException as raised:
                error = raised
        if error is not None:
            raise error

    def _deadlock(self, what: str) -> DeadlockError:
        board, waiting = self._turns.board, self._words.load(Word.WAITING) | 1 << self._rank
        stuck = [rank for rank in range(board.size) if waiting >> rank & 1]
        told = "; ".join(
            f"rank {rank} {board.read(rank) if rank in stuck else 'has ended'}" for rank in range(board.size)
        )
        return DeadlockError(f"deadlock at {what}: {told}", cycle=[f"rank {rank}" for rank in stuck])

    def _holding(self) -> str:
        held = " and ".join(map(_described, self._held))
        return f" and holds {held}" if held else ""

    # -- steps -------------------------------------------------------------------

    def acquiring(self, holds: Sequence[Hold]) -> None:
        """Step before an acquire."""
        self._step(_ACQUIRE)
        self._is_locking = True

    def acquired(self, holds: Sequence[Hold]) -> None:
        """Know what is held."""
        self._is_locking = False
        if self._is_scheduled():
            self._held += holds

    def not_acquired(self, holds: Sequence[Hold]) -> None:
        """Let others try: what it had of the rows is free again."""
        self._is_locking = False
        self._stir()

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        """Step before a release: others may want the rows in vain."""
        self._step(_RELEASE)

    def released(self, holds: Sequence[Hold]) -> None:
        """Step after it."""
        if self._is_scheduled():
            for hold in holds:
                self._forget(hold)
            self._stir()
            self._step(_RELEASED)

    def _forget(self, hold: Hold) -> None:
        for position in reversed(range(len(self._held))):
            known = self._held[position]
            if known is hold or (known.array is None and known.array_id == hold.array_id):
                del self._held[position]
                return

    def atomic_begins(self, atomic: Atomic) -> None:
        """Step before an atomic operation."""
        self._step(_BEGIN)

    def atomic_ended(self, atomic: Atomic, *, failed: bool) -> None:
        """Step after it."""
        if atomic.writes:
            self._stir()
        self._step(_END)

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        """Step at a fence."""
        self._stir()
        self._step(_FENCE)

    def sharing(self) -> None:
        """Step before each piece of a share."""
        self._step(_SHARE)

    def arriving(self) -> None:
        """Step before a barrier."""
        self._step(_ARRIVE)

    def met(self) -> None:
        """Let those who came before go on."""
        self._stir()

    def departed(self) -> None:
        """Step after a barrier."""
        self._step(_DEPART)

    def accessed(self, array: Any, key: Any, *, write: bool) -> None:
        """Step before a plain access."""
        self._step(_ACCESS)

    def _step(self, kind: int) -> None:
        if not self._is_trying and self._is_scheduled():
            self._turns.step(self._rank, kind)
            self._await_turn()

    def _stir(self) -> None:
        if not self._is_trying and self._is_scheduled():
            self._turns.stir()

    def _is_scheduled(self) -> bool:
        """Say whether this thread is to go by the schedule; it has the turn then."""
        if self._is_free or threading.get_ident() != self._thread:
            return False
        if self._words.load(Word.TURN) != self._rank + 1:
            self._await_turn()  # a signal's handler raised between giving the turn away and waiting for it
        return True


def _described(hold: Hold) -> str:
    if hold.array is None:
        return f"lock {hold.name!r}"
    rows = "..." if hold.key is None else repr(hold.key)
    return f"{'shared' if hold.shared else 'exclusive'} region {rows} of array {hold.name!r}"


def _poll(attempt: Callable[[], bool], *, timed: bool) -> bool:
    """Try again and again; give up after a while if the wait is `timed`."""
    polls = 0
    while not attempt():
        polls += 1
        if timed and polls >= _POLLS:
            return False
        time.sleep(_POLL_SECONDS)
    return True
