"""Giving the turn away as a model small enough to explore every interleaving.

Each step is one access to shared memory, in the order in which `pydsm/control/turns.py` and
`Bell.sleep_unless` make them.  A worker that has the turn may give it to anybody who can run, as
often as its letter says, and then ends; any worker may die at any moment.  Which one the strategy
would pick is left open: every choice is explored.  The parent sees one death after the other.

What must never be: two workers that live and have the turn; a turn that nobody gets who lives.
Sleeps end by themselves after a while, but nothing may depend on that: it is an accident here.

Mutants (`FLAWS`) leave out or swap single steps; the tests demand that each is caught.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["FLAWS", "Model"]

FLAWS = {
    "no look at the dead": "who gives the turn away does not look whether it went to somebody dead",
    "look before giving": "who gives the turn away looks who is dead before, not after",
    "turn before death": "the parent looks whether the dead one had the turn before it says that it is dead",
    "blind take back": "who takes the turn back stores it instead of swapping it",
    "blind parent": "the parent takes the turn of the dead by a store",
    "only this one's": "the parent looks only whether the one that died just now had the turn",
    "no alarm": "the parent does not wake who has the turn after a death",
    "ring before giving": "who gives the turn away wakes first",
    "look before announcing": "who waits looks whether it has the turn before it says that it sleeps",
    "no ring": "who gives the turn away wakes nobody",
}

_ENDS = ("ended", "dead")
_ABOUT_ANOTHER = ("ring_first", "look_first", "give", "look_at_dead", "swap_back", "ring", "bury", "claim", "swap")
Thread = tuple[str, int, int]  # pc, whom it is about, gives left


class Model:
    """Workers that pass one turn around.

    Parameters
    ----------
    gives : str
        A digit for each worker: how often it gives the turn away before it ends.
    deaths : int
        How many may die.
    """

    accidents = frozenset({"die", "sleep_ends"})

    def __init__(self, gives: str, deaths: int, flaw: str | None = None) -> None:
        assert flaw is None or flaw in FLAWS
        self.size, self.flaw = len(gives), flaw
        threads: tuple[Thread, ...] = tuple((self.awake(), 0, int(digit)) for digit in gives)
        threads += (("watch", 0, 0),)  # the parent, who has given the first turn to worker 0
        # threads, turn, bits of the gone, of those who left, of the bells on which somebody is to sleep, deaths to come
        self.first: tuple[Any, ...] = (threads, 1, 0, 0, 0, deaths)

    # -- for `explore` -----------------------------------------------------------

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
        threads, _, _, _, _, deaths = state
        for me, (pc, *_) in enumerate(threads):
            if pc in _ENDS or pc == "over":
                continue
            for after in getattr(self, pc)(state, me):
                yield me, pc, after
            if pc == "asleep":
                yield me, "sleep_ends", self.go(state, me, self.awake())
            if deaths and me < self.size:
                gone = (*state[:5], deaths - 1)
                yield me, "die", self.go(gone, me, "dead")

    def wrong(self, state: tuple[Any, ...]) -> str | None:
        having = [me for me, (pc, *_) in enumerate(state[0]) if pc in ("run", "take_back", "leave", "claimed")]
        return "two have the turn" if len(having) > 1 else None

    def is_over(self, state: tuple[Any, ...]) -> bool:
        return state[0][-1][0] == "over"

    def left(self, state: tuple[Any, ...]) -> str | None:
        return None if state[1] == 0 else "somebody has the turn who has ended"

    # -- changing a state --------------------------------------------------------

    def go(self, state: tuple[Any, ...], me: int, pc: str, seen: int | None = None, **now: Any) -> tuple[Any, ...]:
        """Return the state with a thread gone on, and with words changed."""
        threads, turn, gone, left, bells, deaths = state
        _, before, gives = threads[me]
        seen = before if seen is None else seen
        mine = (pc, seen if pc in _ABOUT_ANOTHER else 0, 0 if pc in _ENDS else now.get("gives", gives))
        threads = (*threads[:me], mine, *threads[me + 1 :])
        turn, gone, left = now.get("turn", turn), now.get("gone", gone), now.get("left", left)
        state = (threads, turn, gone, left, now.get("bells", bells), deaths)
        return self.rung(state, now["ring"]) if "ring" in now else state

    def rung(self, state: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
        """Return the state with a bell rung: who sleeps on it wakes, and who is about to does not sleep."""
        threads, turn, gone, left, bells, deaths = state
        bells &= ~(1 << rank)
        if threads[rank][0] == "asleep":
            threads = (*threads[:rank], (self.awake(), *threads[rank][1:]), *threads[rank + 1 :])
        return (threads, turn, gone, left, bells, deaths)

    # -- a worker waits ----------------------------------------------------------

    def awake(self) -> str:
        return "look" if self.flaw == "look before announcing" else "announce"

    def announce(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Say that it is about to sleep."""
        late = self.flaw == "look before announcing"
        yield self.go(state, me, "sleep" if late else "look", bells=state[4] | 1 << me)

    def look(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        late = self.flaw == "look before announcing"
        if state[1] == me + 1:
            yield self.go(state, me, "run")
        else:
            yield self.go(state, me, "announce" if late else "sleep")

    def sleep(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Sleep, unless the bell was rung since."""
        yield self.go(state, me, "asleep" if state[4] >> me & 1 else self.awake())

    def asleep(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Wait for the bell."""
        yield from ()

    # -- a worker has the turn ---------------------------------------------------

    def run(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Give the turn to anybody who can run as far as this one knows, or end."""
        gives = state[0][me][2]
        if gives == 0:
            yield self.go(state, me, "leave", left=state[3] | 1 << me)
            return
        for chosen in self.able(state):
            if chosen == me:
                yield self.go(state, me, "run", gives=gives - 1)
            else:
                yield self.go(state, me, self.first_of_give(), seen=chosen, gives=gives - 1)

    def leave(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        able = self.able(state)
        if not able:
            yield self.go(state, me, "ended", turn=0)
        for chosen in able:
            yield self.go(state, me, self.first_of_give(), seen=chosen)

    def able(self, state: tuple[Any, ...]) -> list[int]:
        return [rank for rank in range(self.size) if not (state[2] | state[3]) >> rank & 1]

    # -- giving it away: workers and the parent ------------------------------------

    def first_of_give(self) -> str:
        return {"ring before giving": "ring_first", "look before giving": "look_first"}.get(self.flaw or "", "give")

    def ring_first(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        yield self.go(state, me, "give", ring=state[0][me][1])

    def look_first(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        dead = state[2] >> state[0][me][1] & 1
        yield self.go(state, me, self.chooses(me) if dead else "give")

    def give(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        chosen = state[0][me][1]
        blind = self.flaw in ("no look at the dead", "look before giving")
        then = self.after_ring(state, me) if self.flaw in ("ring before giving", "no ring") and blind else None
        yield self.go(state, me, then or ("ring" if blind else "look_at_dead"), turn=chosen + 1)

    def look_at_dead(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        if state[2] >> state[0][me][1] & 1:
            yield self.go(state, me, "swap_back")
        elif self.flaw in ("ring before giving", "no ring"):
            yield self.go(state, me, self.after_ring(state, me))
        else:
            yield self.go(state, me, "ring")

    def swap_back(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Take the turn back from somebody dead, unless another one was faster."""
        if self.flaw == "blind take back" or state[1] == state[0][me][1] + 1:
            yield self.go(state, me, self.chooses(me), turn=me + 1)
        else:
            yield self.go(state, me, "ring")

    def ring(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        yield self.go(state, me, self.after_ring(state, me), ring=state[0][me][1])

    def chooses(self, me: int) -> str:
        return "claimed" if me == self.size else "take_back"

    def take_back(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Choose once more; a worker that has ended chooses as one that ends."""
        if state[3] >> me & 1:
            yield from self.leave(state, me)
            return
        for chosen in self.able(state):
            if chosen == me:
                yield self.go(state, me, "run")
            else:
                yield self.go(state, me, self.first_of_give(), seen=chosen)

    def after_ring(self, state: tuple[Any, ...], me: int) -> str:
        if me == self.size:
            return "alarm"
        return "ended" if state[3] >> me & 1 else self.awake()

    # -- the parent --------------------------------------------------------------

    def watch(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Wait until one more worker is dead, or all have ended."""
        late = self.flaw == "turn before death"
        for rank, (pc, *_) in enumerate(state[0][:me]):
            if pc == "dead" and not state[2] >> rank & 1:
                yield self.go(state, me, "claim" if late else "bury", seen=rank)
        if all(pc == "ended" or (pc == "dead" and state[2] >> rank & 1) for rank, (pc, *_) in enumerate(state[0][:me])):
            yield self.go(state, me, "over")

    def bury(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        late = self.flaw == "turn before death"
        yield self.go(state, me, "alarm" if late else "claim", gone=state[2] | 1 << state[0][me][1])

    def claim(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Look whether the turn is somebody's who is dead: this one's, or who it was given to by this one."""
        dead = state[0][me][1]
        late, only = self.flaw == "turn before death", self.flaw == "only this one's"
        known = 1 << dead if late or only else state[2]
        if state[1] and known >> state[1] - 1 & 1:
            yield self.go(state, me, "swap", seen=state[1] - 1, gone=state[2] | (1 << dead if late else 0))
        else:
            yield self.go(state, me, "bury" if late else "alarm")

    def swap(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Take the turn from there, unless another one was faster."""
        if self.flaw == "blind parent" or state[1] == state[0][me][1] + 1:
            yield self.go(state, me, "claimed", turn=me + 1)
        else:
            yield self.go(state, me, "alarm")

    def claimed(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        able = self.able(state)
        if not able:
            yield self.go(state, me, "alarm", turn=0)
        for chosen in able:
            yield self.go(state, me, self.first_of_give(), seen=chosen)

    def alarm(self, state: tuple[Any, ...], me: int) -> Iterator[tuple[Any, ...]]:
        """Wake who has the turn: who gave it away may have died before it could."""
        if self.flaw != "no alarm" and 0 < state[1] <= self.size:
            yield self.go(state, me, "watch", ring=state[1] - 1)
        else:
            yield self.go(state, me, "watch")
