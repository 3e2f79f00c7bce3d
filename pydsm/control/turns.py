"""The rules of the token: who may run, who waits, who goes on.

A worker has the turn from when `give` names it until it gives the turn away, and everything
on the board is its to change meanwhile.  It comes here at each *step* (before and after
synchronisation, and before an access in a checked team) and when something that it wants
cannot be had (*block*).

**Waiting** is trying again.  A worker whose try has failed waits; when anybody gives up rows,
changes an element, completes a barrier or ends (`stir`), all who wait can run again, and
those who fail once more wait again.  A failed try is no step.  To draw among all who might get
on, and again without the one that did not, is to draw among those who do get on, each with the
same chance.

**Nobody can run.**  If somebody got on since the last time, a plain write may have changed
what the others wait for: all try once more.  After that time is virtual: of those whose waits
have a timeout the lowest rank's is over.  If there is none it is a deadlock, and one worker gives
up: the highest rank among those who wait for rows, as without a schedule (see
`pydsm.sync.deadlock`), else the highest rank.

Other threads of a worker are not scheduled, and what they do may end its wait.  So while a worker
waits that has any, all try again for a second before anybody gives up.

**Death.**  The parent sees a worker's death, says so (`GONE`) and then looks whether anybody dead
has the turn; who gives the turn away looks at `GONE` after.  So one of the two sees the other,
and by compare-and-swap only one takes the turn back and chooses anew.  It may be another one's than that
of who died last: who gave the turn to somebody dead may die before it looks.  What a worker died
in the middle of writing here is harmless: it is first in the new set and then out of the old one.

`tests/model/turns.py` explores every interleaving of this, with deaths.
"""

from __future__ import annotations

import time
from typing import Final

from pydsm.control.board import FROZEN, NOBODY, Board, Rank, Word, place
from pydsm.control.draws import STRIDE, WORD, chain, scatter
from pydsm.control.plan import Plan
from pydsm.control.strategies import lowest, strategy_of

__all__ = ["Turns"]

_WAIT: Final = (Word.TIMED, Word.LOCKING, Word.LOOSE, Word.EXPIRED, Word.DOOMED)
_MOMENT: Final = 0.001
_MOMENTS: Final = 1000


class Turns:
    """Decisions about one board; only who has the turn may ask for them, or the parent.

    Parameters
    ----------
    board : Board
    plan : Plan
    """

    def __init__(self, board: Board, plan: Plan) -> None:
        self.board, self._words, self._plan = board, board.words, plan
        self._parent = board.size  # in place of a rank
        self._strategy = strategy_of(plan, board)

    # -- in the parent -----------------------------------------------------------

    def begin(self) -> None:
        """Begin a run: everybody can run, and one of them has the turn, here already or not."""
        words = self._words
        run = words.add(Word.RUNS, 1)
        for word in (Word.STEPS, Word.WAITING, *_WAIT, Word.GONE, Word.PATIENCE):
            words.store(word, 0)
        for rank in range(self.board.size):
            words.store(place(rank, Rank.PID), 0)
        words.store(Word.SEED, scatter(self._plan.seed + run * STRIDE & WORD))
        words.store(Word.RUNNABLE, (1 << self.board.size) - 1)
        words.store(Word.MOVED, 1)
        self._strategy.begin()
        self._give(self._choose(), self._parent)

    def lose(self, rank: int, *, survive: bool) -> None:
        """Go on without a worker that is dead, or let nobody run any more if it had the turn."""
        if not survive:
            self._words.compare_and_swap(Word.TURN, rank + 1, FROZEN)
            return
        gone = self._words.or_(Word.GONE, 1 << rank) | 1 << rank
        turn = self._words.load(Word.TURN)
        is_lost = 0 < turn <= self.board.size and gone >> turn - 1 & 1  # maybe given to one that was dead before
        if is_lost and self._words.compare_and_swap(Word.TURN, turn, self._parent + 1):
            self._words.store(Word.MOVED, 1)
            self._give(self._choose(), self._parent)
        self._wake()  # it may have died before it could wake

    # -- by who has the turn -----------------------------------------------------

    def step(self, me: int, kind: int) -> None:
        """Come to a step; somebody else may have the turn after."""
        words = self._words
        step = words.add(Word.STEPS, 1) + 1
        words.store(Word.DIGEST, chain(words.load(Word.DIGEST), kind << 8 | me))
        words.store(Word.MOVED, 1)
        self._strategy.step(me, step)
        self._give(self._choose(), me)

    def block(self, me: int, *, timed: bool = False, locking: bool = False, loose: bool = False) -> None:
        """Wait after a try that failed; whoever can run has the turn after, and it may be `me`."""
        words, bit = self._words, 1 << me
        for word, applies in ((Word.TIMED, timed), (Word.LOCKING, locking), (Word.LOOSE, loose)):
            if applies:
                words.or_(word, bit)
        words.or_(Word.WAITING, bit)
        words.and_(Word.RUNNABLE, ~bit & WORD)
        self._give(self._choose(), me)

    def resume(self, me: int) -> None:
        """Wait no more."""
        for word in _WAIT:
            self._words.and_(word, ~(1 << me) & WORD)
        self._words.store(Word.PATIENCE, 0)
        self._words.store(Word.MOVED, 1)

    def stir(self) -> None:
        """Let all who wait try again."""
        waiting = self._words.load(Word.WAITING)
        if waiting:
            self._words.or_(Word.RUNNABLE, waiting)
            self._words.store(Word.WAITING, 0)

    def leave(self, me: int) -> None:
        """End: come to no step any more."""
        self._words.and_(Word.RUNNABLE, ~(1 << me) & WORD)
        self._words.store(Word.MOVED, 1)
        self.stir()
        self._give(self._choose(), me)

    def freeze(self) -> None:
        """Let nobody run any more: the run has failed, and the parent ends it."""
        self._words.store(Word.TURN, FROZEN)

    # -- what is on the board ----------------------------------------------------

    def is_expired(self, me: int) -> bool:
        """Say whether a worker's wait is over in vain."""
        return bool(self._words.load(Word.EXPIRED) >> me & 1)

    def is_doomed(self, me: int) -> bool:
        """Say whether it is a worker's part to raise the DeadlockError."""
        return bool(self._words.load(Word.DOOMED) >> me & 1)

    # -- choosing ----------------------------------------------------------------

    def _choose(self) -> int | None:
        """Return who goes on; None if nobody is left."""
        words = self._words
        living = ~words.load(Word.GONE)
        able = words.load(Word.RUNNABLE) & living or self._awaken(words.load(Word.WAITING) & living)
        if not able:
            return None
        chosen = self._strategy.pick(able)
        words.store(Word.DIGEST, chain(words.load(Word.DIGEST), chosen))
        return chosen

    def _awaken(self, waiting: int) -> int:
        """Let one or all of those run who wait, where nobody else can."""
        words, able = self._words, waiting
        if waiting and not words.exchange(Word.MOVED, 0) and not self._is_patient(waiting):
            timed = waiting & words.load(Word.TIMED)
            able = _bit(lowest(timed)) if timed else _highest(waiting & words.load(Word.LOCKING) or waiting)
            words.or_(Word.EXPIRED if timed else Word.DOOMED, able)
        words.or_(Word.RUNNABLE, able)
        words.and_(Word.WAITING, ~able & WORD)
        return able

    def _is_patient(self, waiting: int) -> bool:
        """Wait a moment for threads that nobody schedules, but not for ever; say whether that was done."""
        if not waiting & self._words.load(Word.LOOSE) or self._words.add(Word.PATIENCE, 1) >= _MOMENTS:
            return False
        time.sleep(_MOMENT)
        return True

    def _give(self, chosen: int | None, me: int) -> None:
        """Give the turn to somebody who lives."""
        words = self._words
        while chosen is not None:
            if chosen == me:
                words.store(Word.TURN, me + 1)
                return
            words.store(Word.TURN, chosen + 1)
            is_gone = words.load(Word.GONE) >> chosen & 1
            if not is_gone or not words.compare_and_swap(Word.TURN, chosen + 1, me + 1):
                self.board.bells[chosen].ring()
                return
            chosen = self._choose()
        words.store(Word.TURN, NOBODY)

    def _wake(self) -> None:
        turn = self._words.load(Word.TURN)
        if 0 < turn <= self.board.size:
            self.board.bells[turn - 1].alarm()


def _bit(rank: int) -> int:
    return 1 << rank


def _highest(bits: int) -> int:
    """Return the highest bit that is set."""
    return 1 << bits.bit_length() - 1
