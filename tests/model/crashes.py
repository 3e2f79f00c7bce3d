"""The lock words when participants die: burial, recovery, undo.

Beyond the modes of `lock_words`: ``r`` is exclusive with ``recover=True`` and may fail in
the body after it has taken over; ``u`` is that with ``undo=True`` too, and may fail halfway;
``b`` only buries, as the parent of a team does.

Whoever is not a ``b`` may die before any of its steps, `crashes` times in all.  The dead do
nothing any more: what they would have posted is lost, what is posted to them too, and the
kernel takes back the burial lock.  `births` times somebody new sits down in a dead one's
slot.  A sleep may end by itself only where somebody is dead and not buried yet, or where a
wake-up died with the one who was about to post it: after a burial nobody needs that.

The rows are two numbers, which every ``u`` sets to the count of updates, one after the
other; who dies inside without undo leaves `TORN` in the first.  So a torn update, one that
is lost and one that comes back show at the next enter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.lock_words import Memory, Model, Step, Thread

__all__ = ["ABANDONED", "FLAWS", "CrashModel"]

FLAWS = {
    "bury the slow": "a sleeper buries whoever blocks it, without proof of death",
    "bury as free": "a burial frees the word of one who died inside",
    "bury without wake": "a burial wakes nobody",
    "bury without lock": "two bury at the same time, and one is slow",
    "bury on old proof": "a burial does not look again, under the lock, whether the slot is free",
    "sit without burial": "who sits down in a dead one's slot does not bury it first",
    "wake before mark": "a burial wakes before it has marked the word",
    "forget shared bit": "a burial leaves the shared bit of the dead",
    "forget lot bit": "a burial leaves the lot bit of the dead",
    "mark before roll back": "a burial gives the stripe up before the rows are put back",
    "disarm before roll back": "a burial disarms the record before the rows are put back",
    "arm after write": "a region arms its record after the first write",
    "release before disarm": "a region is left before its record is disarmed",
    "recover by store": "who takes over stores its identity without comparing",
    "no look after take-over": "who takes over does not look at the shared bits",
    "take-over never got in": "who dies in a wait in which it had taken over counts as one who never got in",
    "believe what is published": "a wait that an interrupt left published counts when its thread is inside",
    "failed take-over frees": "a body that fails after a take-over frees the word",
    "timed-out take-over frees": "a wait that is given up after a take-over frees the word",
    "nobody to wake": "at an abandoned word only its holder is woken, and there is none",
    "one to wake": "at an abandoned word one is woken, who is refused and tells nobody",
}

ABANDONED = -1
TORN = -1


class CrashMemory(Memory):
    """What is in memory besides, and who is dead."""

    __slots__ = ("armed", "births", "burier", "commits", "crashes", "dead", "robbed", "rows", "saved", "taken")

    crashes: int  # that may yet come, as births
    births: int
    dead: int  # bits: died, and not buried to the end
    robbed: int  # bits: whose wake-up died with the one who was to post it
    burier: int  # who has the kernel's burial lock, + 1
    taken: int  # bits: who took the stripe over (known to that process alone)
    rows: tuple[int, int]
    commits: int  # how many updates have been committed (of the model, not in memory)
    armed: int  # bits
    saved: tuple[tuple[int, int], ...]

    def __init__(self, state: tuple[Any, ...]) -> None:
        super().__init__(state[:8])
        (self.crashes, self.births, self.dead, self.robbed, self.burier) = state[8:13]
        (self.taken, self.rows, self.commits, self.armed, self.saved) = state[13:]

    def freeze(self) -> tuple[Any, ...]:
        own = (self.crashes, self.births, self.dead, self.robbed, self.burier)
        return *super().freeze(), *own, self.taken, self.rows, self.commits, self.armed, self.saved


class CrashModel(Model):
    """The threads of `Model`, some of which die."""

    flaws = FLAWS
    memory: type[Memory] = CrashMemory
    end_pcs = frozenset({"done", "refused", "dead", "dead_inside", "watch"})
    accidents = frozenset({"die", "dead", "deadline", "interrupt", "fail"})
    inside_pcs = frozenset(
        {
            "inside",
            "dead_inside",
            "save",
            "arm",
            "write",
            "write_more",
            "put_back",
            "put_back_more",
            "disarm_failed",
            "commit",
        }
    )

    def __init__(
        self,
        modes: str,
        crashes: int = 1,
        rounds: int = 1,
        flaw: str | None = None,
        *,
        births: int = 0,
        abandoned: bool = False,
    ) -> None:
        super().__init__(modes, rounds, flaw)
        memory = CrashMemory((*self.first, crashes, births, 0, 0, 0, 0, (0, 0), 0, 0, ((0, 0),) * len(modes)))
        if abandoned:  # by somebody who has been buried already
            memory.word, memory.rows = ABANDONED, (TORN, 0)
        self.first = memory.freeze()

    def start(self, mode: str) -> str:
        return "watch" if mode == "b" else super().start(mode)

    def recovers(self, me: int) -> bool:
        return self.modes[me] in "ru"

    # -- for `explore` -----------------------------------------------------------

    def alternatives(self, pc: str) -> tuple[Step, ...]:
        more: dict[str, tuple[Step, ...]] = {
            "park": (self.deadline, self.interrupt, self.time_out),
            "inside": (self.fail,),
            "write_more": (self.fail,),
        }
        return more.get(pc, ())

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
        yield from super().successors(state)
        if CrashMemory(state).crashes:
            for me, (pc, _, _) in enumerate(state[0]):
                if pc not in self.end_pcs and self.modes[me] != "b":
                    memory = CrashMemory(state)
                    self.die(memory, me)
                    yield me, "die", memory.freeze()

    def wrong(self, state: tuple[Any, ...]) -> str | None:
        for me, (pc, _, _) in enumerate(state[0]):
            if pc in ("inside", "save") and self.sees_wrong_rows(CrashMemory(state), me):
                return "wrong rows are seen"
        return super().wrong(state)

    def sees_wrong_rows(self, memory: CrashMemory, me: int) -> bool:
        first, second = memory.rows
        torn = first == TORN and memory.taken >> me & 1 == 0
        return torn or second != memory.commits or first not in (TORN, memory.commits)

    def left(self, state: tuple[Any, ...]) -> str | None:
        # The parent buries all the dead at last: is that enough?
        memory, last = CrashMemory(state), len(self.modes)
        if memory.burier:
            return "nobody can bury any more"
        for dead in self.everybody:
            if memory.dead >> dead & 1:
                memory.threads = (*memory.threads[:last], ("lock", (dead,), ("watch", (), None)))
                while memory.threads[last][0] != "watch":
                    getattr(self, memory.threads[last][0])(memory, last)
        if memory.word not in (0, ABANDONED) or memory.shared or memory.lot or memory.armed:
            return "something stays held"
        is_torn = memory.rows[0] == TORN and memory.word != ABANDONED
        return "wrong rows are free" if is_torn or memory.rows[1] != memory.commits else None

    # -- death -------------------------------------------------------------------

    def die(self, memory: CrashMemory, me: int) -> None:
        pc, todo, _ = memory.threads[me]
        memory.crashes -= 1
        memory.dead |= 1 << me
        memory.taken &= ~(1 << me)
        if memory.burier == me + 1:
            memory.burier = 0
        if pc == "post":
            memory.robbed |= 1 << todo[0]
        if pc == "inside" and self.modes[me] != "s":
            memory.rows = TORN, memory.rows[1]
        memory.permits &= ~(1 << me)
        memory.add_token(me, -memory.tokens[me])
        memory.go(me, "dead_inside" if pc in self.inside_pcs else "dead")

    def wake(self, memory: CrashMemory, me: int) -> None:
        _, (first, *rest), then = memory.threads[me]
        if memory.threads[first][0] in ("dead", "dead_inside"):
            return self.wake_all(memory, me, tuple(rest), then)
        super().wake(memory, me)

    def post(self, memory: CrashMemory, me: int) -> None:
        _, (first, *rest), then = memory.threads[me]
        if memory.threads[first][0] in ("dead", "dead_inside"):
            return self.wake_all(memory, me, tuple(rest), then)
        super().post(memory, me)

    def dead(self, memory: CrashMemory, me: int) -> bool | None:
        """Let somebody new sit down here, who waits for the burial lock and buries the old one first."""
        if not memory.births or memory.burier:
            return False
        memory.births -= 1
        then = (self.start(self.modes[me]), (), None)
        if self.flaw != "sit without burial":
            return self.begin_burial(memory, me, me, then)
        memory.dead &= ~(1 << me)
        return memory.go(me, *then)

    dead_inside = dead

    # -- a sleep that ends by itself, and what comes of it -----------------------

    def time_out(self, memory: CrashMemory, me: int) -> bool | None:
        bit = 1 << me
        if not (memory.dead or memory.robbed & bit or self.flaw == "bury the slow"):
            return False
        memory.robbed &= ~bit
        memory.permits &= ~bit
        return memory.go(me, "look_at_blockers")

    def look_at_blockers(self, memory: CrashMemory, me: int) -> None:
        blockers = 0
        if memory.word > 0 and memory.word != me + 1:
            blockers = 1 << memory.word - 1
        elif self.modes[me] != "s":
            blockers = memory.shared & ~(1 << me)
        if self.flaw != "bury the slow":
            blockers &= memory.dead
        if not blockers:
            return memory.go(me, "again")
        memory.go(me, "lock", (blockers.bit_length() - 1,), ("park", (), None))

    def watch(self, memory: CrashMemory, me: int) -> bool | None:
        if not memory.dead:
            return False
        return memory.go(me, "lock", (memory.dead.bit_length() - 1,), ("watch", (), None))

    # -- burial: todo is the dead one --------------------------------------------

    def lock(self, memory: CrashMemory, me: int) -> None:
        _, (dead,), then = memory.threads[me]
        if memory.burier and self.flaw != "bury without lock":
            return memory.go(me, *then)  # somebody else is at it
        self.begin_burial(memory, me, dead, then)

    def begin_burial(self, memory: CrashMemory, me: int, dead: int, then: Thread) -> None:
        """Look again, under the lock, whether the slot is a dead one's."""
        if not memory.dead >> dead & 1 and self.flaw not in ("bury on old proof", "bury the slow"):
            return memory.go(me, *then)
        memory.burier = me + 1
        memory.go(me, "lock", (dead,), then)  # and at once on to what there is to do
        if self.flaw == "mark before roll back":
            return self.go_burying(memory, me)
        self.go_rolling_back(memory, me)

    def go_rolling_back(self, memory: CrashMemory, me: int) -> None:
        _, (dead, *_), then = memory.threads[me]
        if not memory.armed >> dead & 1:
            return self.after_record(memory, me)
        memory.go(me, "disarm" if self.flaw == "disarm before roll back" else "roll_back", (dead,), then)

    def roll_back(self, memory: CrashMemory, me: int) -> None:
        _, (dead,), then = memory.threads[me]
        memory.rows = memory.saved[dead][0], memory.rows[1]
        memory.go(me, "roll_back_more", (dead,), then)

    def roll_back_more(self, memory: CrashMemory, me: int) -> None:
        _, (dead,), then = memory.threads[me]
        memory.rows = memory.rows[0], memory.saved[dead][1]
        if self.flaw == "disarm before roll back":
            return self.after_record(memory, me)
        memory.go(me, "disarm", (dead,), then)

    def disarm(self, memory: CrashMemory, me: int) -> None:
        _, (dead,), then = memory.threads[me]
        memory.armed &= ~(1 << dead)
        if self.flaw == "disarm before roll back":
            return memory.go(me, "roll_back", (dead,), then)
        self.after_record(memory, me)

    def after_record(self, memory: CrashMemory, me: int) -> None:
        if self.flaw in ("mark before roll back", "wake before mark"):
            return memory.go(me, "look_for_sleepers", *memory.threads[me][1:])
        self.go_burying(memory, me)

    def go_burying(self, memory: CrashMemory, me: int) -> None:
        _, (dead, *_), then = memory.threads[me]
        if self.named(memory, dead):
            memory.go(me, "bury", (dead,), then)
        elif self.flaw == "mark before roll back":
            self.go_rolling_back(memory, me)
        else:
            memory.go(me, "vacate" if self.flaw == "wake before mark" else "look_for_sleepers", (dead,), then)

    def named(self, memory: CrashMemory, dead: int) -> str:
        """Return which word names the dead one; only a burier can change that."""
        bit = 1 << dead
        if memory.word == dead + 1:
            return "word"
        if memory.shared & bit and self.flaw != "forget shared bit":
            return "shared"
        return "lot" if memory.lot & bit and self.flaw != "forget lot bit" else ""

    def bury(self, memory: CrashMemory, me: int) -> None:
        """Clear the next word that names the dead one."""
        dead = memory.threads[me][1][0]
        word = self.named(memory, dead)
        if word == "word":
            memory.word = 0 if self.never_got_in(memory, dead) else ABANDONED
        elif word:
            setattr(memory, word, getattr(memory, word) & ~(1 << dead))
        if word != "lot" and memory.threads[dead][0] == "dead_inside":
            memory.go(dead, "dead")
        self.go_burying(memory, me)

    def never_got_in(self, memory: CrashMemory, dead: int) -> bool:
        """Say whether the dead one was still waiting.

        A recoverer may have taken over in its wait, and an interrupt may leave a wait
        published; but native code takes the lot bit back, which nothing interrupts.
        """
        if self.flaw == "bury as free":
            return True
        if self.recovers(dead) and self.flaw != "take-over never got in":
            return False
        proof = memory.waits if self.flaw == "believe what is published" else memory.waits & memory.lot
        return proof >> dead & 1 == 1

    def look_for_sleepers(self, memory: CrashMemory, me: int) -> None:
        _, (dead,), then = memory.threads[me]
        sleepers = tuple(w for w in self.everybody if memory.lot >> w & 1 and self.flaw != "bury without wake")
        if self.flaw == "wake before mark":
            return self.wake_all(memory, me, sleepers, ("bury", (dead,), then))
        memory.go(me, "vacate", (dead, *sleepers), then)

    def vacate(self, memory: CrashMemory, me: int) -> None:
        """Make the slot free, then wake."""
        _, (dead, *sleepers), then = memory.threads[me]
        memory.dead &= ~(1 << dead)
        memory.waits &= ~(1 << dead)
        self.wake_all(memory, me, tuple(sleepers), ("unlock", (), then))

    def unlock(self, memory: CrashMemory, me: int) -> None:
        memory.burier = 0
        memory.go(me, *memory.threads[me][2])

    # -- acquire an abandoned stripe ---------------------------------------------

    def cas(self, memory: CrashMemory, me: int) -> None:
        if memory.word == me + 1:  # taken for a region of one's own that is entered again
            return memory.go(me, self.entry(me))
        if memory.word != ABANDONED:
            return super().cas(memory, me)
        memory.go(me, "take_over" if self.recovers(me) else "refused")

    def peek(self, memory: CrashMemory, me: int) -> None:
        if memory.word != ABANDONED:
            return super().peek(memory, me)
        memory.go(me, "refused")

    def retry_cas(self, memory: CrashMemory, me: int) -> None:
        if memory.word != ABANDONED:
            return super().retry_cas(memory, me)
        if self.recovers(me):
            return memory.go(me, "retry_take_over")
        self.end_wait(memory, me, "refuse")

    def retry_peek(self, memory: CrashMemory, me: int) -> None:
        if memory.word != ABANDONED:
            return super().retry_peek(memory, me)
        self.end_wait(memory, me, "refuse")

    def take_over(self, memory: CrashMemory, me: int) -> None:
        memory.go(me, self.after_take_over(me) if self.won(memory, me) else self.slow())

    def retry_take_over(self, memory: CrashMemory, me: int) -> None:
        memory.go(me, "retry_sharers" if self.won(memory, me) else "retry_cas")

    def after_take_over(self, me: int) -> str:
        return self.entry(me) if self.flaw == "no look after take-over" else "sharers"

    def won(self, memory: CrashMemory, me: int) -> bool:
        if memory.word != ABANDONED and self.flaw != "recover by store":
            return False
        memory.word = me + 1
        memory.taken |= 1 << me
        return True

    def refuse(self, memory: CrashMemory, me: int) -> None:
        self.wake_and(memory, me, "refused", unless="one to wake")

    def chosen(self, word: int, me: int, waiting: tuple[int, ...]) -> tuple[int, ...]:
        if word != ABANDONED or self.flaw == "nobody to wake":
            return super().chosen(word, me, waiting)
        return waiting[:1] if self.flaw == "one to wake" else waiting  # they all have to know

    # -- give up -----------------------------------------------------------------

    def deadline(self, memory: CrashMemory, me: int) -> bool | None:
        return self.end_wait(memory, me, "back_out") if self.modes[me] in "tr" else False

    def interrupt(self, memory: CrashMemory, me: int) -> bool | None:
        """Leave the wait by an exception that comes before it could be published."""
        return memory.go(me, "withdraw", (), ("back_out", (), None)) if self.modes[me] == "t" else False

    def back_out(self, memory: CrashMemory, me: int) -> None:
        if memory.word == me + 1 and self.flaw != "timed-out take-over frees":
            self.give_up_word(memory, me)
        super().back_out(memory, me)
        memory.taken &= ~(1 << me)

    def give_up_word(self, memory: CrashMemory, me: int) -> None:
        memory.word = ABANDONED if memory.taken >> me & 1 else 0

    # -- the body ----------------------------------------------------------------

    def entry(self, me: int) -> str:
        return "save" if self.modes[me] == "u" else "inside"

    def inside(self, memory: CrashMemory, me: int) -> None:
        if memory.rows[0] == TORN:
            memory.rows = memory.rows[1], memory.rows[1]  # who has taken over puts the rows right
        super().inside(memory, me)

    def save(self, memory: CrashMemory, me: int) -> None:
        memory.saved = (*memory.saved[:me], memory.rows, *memory.saved[me + 1 :])
        memory.go(me, "write" if self.flaw == "arm after write" else "arm")

    def arm(self, memory: CrashMemory, me: int) -> None:
        memory.armed |= 1 << me
        memory.go(me, "write_more" if self.flaw == "arm after write" else "write")

    def write(self, memory: CrashMemory, me: int) -> None:
        memory.rows = memory.commits + 1, memory.rows[1]
        memory.go(me, "arm" if self.flaw == "arm after write" else "write_more")

    def write_more(self, memory: CrashMemory, me: int) -> None:
        memory.rows = memory.rows[0], memory.commits + 1
        if self.flaw == "release before disarm":
            memory.commits += 1
            return memory.go(me, "clear")
        memory.go(me, "commit")

    def commit(self, memory: CrashMemory, me: int) -> None:
        memory.armed &= ~(1 << me)
        memory.commits += 1
        memory.go(me, "clear")

    def fail(self, memory: CrashMemory, me: int) -> bool | None:
        if memory.threads[me][0] == "write_more":
            return memory.go(me, "put_back")
        if not memory.taken >> me & 1:
            return False
        memory.rows = TORN, memory.rows[1]
        return memory.go(me, "clear_failed")

    def put_back(self, memory: CrashMemory, me: int) -> None:
        memory.rows = memory.saved[me][0], memory.rows[1]
        memory.go(me, "put_back_more")

    def put_back_more(self, memory: CrashMemory, me: int) -> None:
        memory.rows = memory.rows[0], memory.saved[me][1]
        memory.go(me, "disarm_failed")

    def disarm_failed(self, memory: CrashMemory, me: int) -> None:
        memory.armed &= ~(1 << me)
        memory.go(me, "clear_failed")

    # -- leave -------------------------------------------------------------------

    def clear(self, memory: CrashMemory, me: int) -> None:
        memory.taken &= ~(1 << me)
        super().clear(memory, me)
        if self.flaw == "release before disarm" and self.modes[me] == "u":
            memory.go(me, "late_disarm", (), memory.threads[me])

    def late_disarm(self, memory: CrashMemory, me: int) -> None:
        memory.armed &= ~(1 << me)
        self.go_on(memory, me, memory.threads[me][2])

    def clear_failed(self, memory: CrashMemory, me: int) -> None:
        """Leave after an exception in the body: what was taken over is abandoned again."""
        if self.flaw == "failed take-over frees":
            memory.taken &= ~(1 << me)
        self.give_up_word(memory, me)
        memory.taken &= ~(1 << me)
        self.wake_and(memory, me, "next")
