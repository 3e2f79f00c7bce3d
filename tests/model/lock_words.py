"""The lock words as a model small enough to explore every interleaving.

Each step is one access to shared memory, in the order in which `native/atomic.h`,
`native/stripe_locks.pxi` and `sync/locktable.py` make them.  Sleeps have no time-out here: what
the real code repairs by waking up after a while would be a stuck state in the model.

Modes: ``x`` exclusive, ``s`` shared, ``t`` exclusive with a timeout that may be over
whenever it sleeps.  A thread is ``(pc, todo, then)``: its next step, the threads that it
still has to wake, and the thread that it goes on as when it has woken them.

Mutants (`FLAWS`) leave out or swap single steps; the tests demand that each is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["FLAWS", "Memory", "Model", "Step", "Thread"]

FLAWS = {
    "wake before release": "the releaser looks for waiters before it clears the word",
    "announce after look": "a waiter sets its lot bit after it has looked at the word",
    "publish after look": "a waiter says what it waits for after it has looked at the word",
    "no look after winning": "an exclusive acquirer does not look at the shared bits",
    "no look after sharing": "a sharer does not look at word 0 after setting its bit",
    "silent back-off": "a sharer that backs off does not wake the writer it stopped",
    "no wake after shared": "a shared release does not look for waiters",
    "permit after look": "a waiter clears its permit after it has looked",
    "wake the first": "a shared release wakes the first waiter, not the writer that waits for sharers to leave",
    "silent time-out": "a waiter that gives up does not pass on the wake-up that it may have got",
    "waiting is up": "an exclusive release takes every waiter for one that is waking up",
    "time-out keeps the word": "a waiter that gives up leaves the word that it has won before the sharers left",
}

Thread = tuple[str, tuple[int, ...], Any]


class Memory:
    """Shared memory and threads, as one step finds and changes them."""

    __slots__ = ("lot", "permits", "rounds", "shared", "threads", "tokens", "waits", "word")

    threads: tuple[Thread, ...]
    word: int  # 0 free, else thread + 1
    shared: int  # bits, as are lot, waits (who says that it waits) and permits
    lot: int
    waits: int
    permits: int
    tokens: tuple[int, ...]
    rounds: tuple[int, ...]

    def __init__(self, state: tuple[Any, ...]) -> None:
        (self.threads, self.word, self.shared, self.lot, self.waits, self.permits, self.tokens, self.rounds) = state

    def freeze(self) -> tuple[Any, ...]:
        return self.threads, self.word, self.shared, self.lot, self.waits, self.permits, self.tokens, self.rounds

    def go(self, me: int, pc: str, todo: tuple[int, ...] = (), then: Thread | None = None) -> None:
        """Say what a thread does next."""
        self.threads = (*self.threads[:me], (pc, todo, then), *self.threads[me + 1 :])

    def add_token(self, me: int, change: int) -> None:
        self.tokens = (*self.tokens[:me], self.tokens[me] + change, *self.tokens[me + 1 :])


Step = Callable[[Memory, int], bool | None]
"""Changes the memory; returns False if it cannot be made now."""


class Model:
    """Threads that each acquire the one stripe in their mode, a few times."""

    flaws = FLAWS
    memory: type[Memory] = Memory
    inside_pcs = frozenset({"inside"})
    end_pcs = frozenset({"done"})
    accidents = frozenset({"deadline"})

    def __init__(self, modes: str, rounds: int = 1, flaw: str | None = None) -> None:
        assert flaw is None or flaw in self.flaws
        self.modes, self.flaw, self.everybody = modes, flaw, range(len(modes))
        threads = tuple((self.start(mode), (), None) for mode in modes)
        zeros = (0,) * len(modes)
        self.first: tuple[Any, ...] = (threads, 0, 0, 0, 0, 0, zeros, (rounds,) * len(modes))
        self.steps: dict[str, tuple[Step, ...]] = {}

    def start(self, mode: str) -> str:
        return "peek" if mode == "s" else "cas"

    # -- for `explore` -----------------------------------------------------------

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
        for me, (pc, _, _) in enumerate(state[0]):
            for step in self.steps.get(pc) or self.steps_of(pc):
                memory = self.memory(state)
                if step(memory, me) is not False:
                    yield me, step.__name__, memory.freeze()

    def steps_of(self, pc: str) -> tuple[Step, ...]:
        """Return what a thread may do at a `pc`: the method of that name, and what may happen instead."""
        if pc not in self.steps:
            self.steps[pc] = (getattr(self, pc), *self.alternatives(pc)) if hasattr(self, pc) else ()
        return self.steps[pc]

    def alternatives(self, pc: str) -> tuple[Step, ...]:
        return (self.deadline,) if pc == "park" else ()

    def wrong(self, state: tuple[Any, ...]) -> str | None:
        inside = [me for me, (pc, _, _) in enumerate(state[0]) if pc in self.inside_pcs]
        return "two are inside" if len(inside) > 1 and any(self.modes[me] != "s" for me in inside) else None

    def is_over(self, state: tuple[Any, ...]) -> bool:
        return all(pc in self.end_pcs for pc, _, _ in state[0])

    def left(self, state: tuple[Any, ...]) -> str | None:
        return "something stays held" if any(state[1:5]) else None

    # -- acquire, first try ------------------------------------------------------

    def cas(self, memory: Memory, me: int) -> None:
        if memory.word:
            return memory.go(me, self.slow())
        memory.word = me + 1
        memory.go(me, self.entry(me) if self.flaw == "no look after winning" else "sharers")

    def sharers(self, memory: Memory, me: int) -> None:
        memory.go(me, self.slow() if memory.shared else self.entry(me))

    def peek(self, memory: Memory, me: int) -> None:
        memory.go(me, self.slow() if memory.word else "share")

    def share(self, memory: Memory, me: int) -> None:
        memory.shared |= 1 << me
        memory.go(me, "inside" if self.flaw == "no look after sharing" else "confirm")

    def confirm(self, memory: Memory, me: int) -> None:
        memory.go(me, "back_off" if memory.word else "inside")

    def back_off(self, memory: Memory, me: int) -> None:
        memory.shared &= ~(1 << me)
        self.wake_and(memory, me, self.slow(), unless="silent back-off")

    def entry(self, me: int) -> str:
        """Return how the region begins."""
        return "inside"

    # -- acquire, waiting --------------------------------------------------------

    def slow(self) -> str:
        return "publish" if self.flaw == "announce after look" else "announce"

    def announce(self, memory: Memory, me: int) -> None:
        memory.lot |= 1 << me
        late = {"announce after look": "park", "publish after look": "again"}
        memory.go(me, late.get(self.flaw or "", "publish"))

    def publish(self, memory: Memory, me: int) -> None:
        memory.waits |= 1 << me
        memory.go(me, "park" if self.flaw == "publish after look" else "again")

    def again(self, memory: Memory, me: int) -> None:
        if self.flaw != "permit after look":
            memory.permits &= ~(1 << me)
        memory.go(me, "retry_peek" if self.modes[me] == "s" else "retry_cas")

    def before_park(self) -> str:
        late = {"announce after look": "announce", "publish after look": "publish", "permit after look": "late_permit"}
        return late.get(self.flaw or "", "park")

    def late_permit(self, memory: Memory, me: int) -> None:
        memory.permits &= ~(1 << me)
        memory.go(me, "park")

    def retry_cas(self, memory: Memory, me: int) -> None:
        if memory.word not in (0, me + 1):
            return memory.go(me, self.before_park())
        memory.word = me + 1
        if self.flaw == "no look after winning":
            return self.end_wait(memory, me, self.entry(me))
        memory.go(me, "retry_sharers")

    def retry_sharers(self, memory: Memory, me: int) -> None:
        if memory.shared:
            return memory.go(me, self.before_park())
        self.end_wait(memory, me, self.entry(me))

    def retry_peek(self, memory: Memory, me: int) -> None:
        memory.go(me, self.before_park() if memory.word else "retry_share")

    def retry_share(self, memory: Memory, me: int) -> None:
        memory.shared |= 1 << me
        if self.flaw == "no look after sharing":
            return self.end_wait(memory, me, "inside")
        memory.go(me, "retry_confirm")

    def retry_confirm(self, memory: Memory, me: int) -> None:
        if memory.word:
            return memory.go(me, "retry_back_off")
        self.end_wait(memory, me, "inside")

    def retry_back_off(self, memory: Memory, me: int) -> None:
        memory.shared &= ~(1 << me)
        self.wake_and(memory, me, self.before_park(), unless="silent back-off")

    def park(self, memory: Memory, me: int) -> bool | None:
        if not memory.tokens[me]:
            return False
        memory.add_token(me, -1)
        return memory.go(me, "again")

    def end_wait(self, memory: Memory, me: int, pc: str) -> None:
        memory.go(me, "unpublish", (), (pc, (), None))

    def unpublish(self, memory: Memory, me: int) -> None:
        memory.waits &= ~(1 << me)
        memory.go(me, "withdraw", *memory.threads[me][1:])

    def withdraw(self, memory: Memory, me: int) -> None:
        memory.lot &= ~(1 << me)
        self.go_on(memory, me, memory.threads[me][2])

    # -- a waiter gives up -------------------------------------------------------

    def deadline(self, memory: Memory, me: int) -> bool | None:
        return self.end_wait(memory, me, "back_out") if self.modes[me] == "t" else False

    def back_out(self, memory: Memory, me: int) -> None:
        if memory.word == me + 1 and self.flaw != "time-out keeps the word":
            memory.word = 0
        self.wake_and(memory, me, "next", unless="silent time-out")

    # -- release and wake --------------------------------------------------------

    def inside(self, memory: Memory, me: int) -> None:
        if self.flaw == "wake before release":
            return self.wake_and(memory, me, "clear")
        self.clear(memory, me)

    def clear(self, memory: Memory, me: int) -> None:
        if self.modes[me] == "s":
            memory.shared &= ~(1 << me)
        else:
            memory.word = 0
        silent = {"s": "no wake after shared"}.get(self.modes[me], "wake before release")
        if self.modes[me] == "s" or self.flaw == silent:
            return self.wake_and(memory, me, "next", unless=silent)
        memory.go(me, "look_for_awake", (), ("next", (), None))

    def look_for_awake(self, memory: Memory, me: int) -> None:
        """After an exclusive release: nobody has to be woken if one who waits exclusively is waking up."""
        waiting = tuple(w for w in self.everybody if (memory.lot & memory.waits) >> w & 1)
        then = memory.threads[me][2]
        if not waiting:
            return self.go_on(memory, me, then)
        exclusive = all(self.modes[w] != "s" for w in waiting)
        memory.go(me, "look_at_permits" if exclusive else "choose", waiting, then)

    def look_at_permits(self, memory: Memory, me: int) -> None:
        _, waiting, then = memory.threads[me]
        up = any(memory.permits >> w & 1 for w in waiting) or self.flaw == "waiting is up"
        memory.go(me, "look_at_word" if up else "choose", waiting, then)

    def look_at_word(self, memory: Memory, me: int) -> None:
        _, waiting, then = memory.threads[me]
        if memory.word == 0:
            return self.go_on(memory, me, then)
        memory.go(me, "choose", waiting, then)

    def wake_and(self, memory: Memory, me: int, pc: str, unless: str = "") -> None:
        """Go on at `pc` after waking who waits, `unless` that is what is broken."""
        then = (pc, (), None)
        if unless and self.flaw == unless:
            return self.go_on(memory, me, then)
        memory.go(me, "look_for_waiters", (), then)

    def look_for_waiters(self, memory: Memory, me: int) -> None:
        waiting = tuple(w for w in self.everybody if (memory.lot & memory.waits) >> w & 1)
        then = memory.threads[me][2]
        if not waiting:
            return self.go_on(memory, me, then)
        memory.go(me, "choose", waiting, then)

    def choose(self, memory: Memory, me: int) -> None:
        _, waiting, then = memory.threads[me]
        self.wake_all(memory, me, self.chosen(memory.word, me, waiting), then)

    def chosen(self, word: int, me: int, waiting: tuple[int, ...]) -> tuple[int, ...]:
        waiters = sorted(waiting, key=lambda w: (w <= me, w))
        if word and self.flaw != "wake the first":
            return tuple(w for w in waiters if w == word - 1)
        if not waiters or self.modes[waiters[0]] != "s":
            return tuple(waiters[:1])
        return tuple(w for w in waiters if self.modes[w] == "s")

    def wake_all(self, memory: Memory, me: int, todo: tuple[int, ...], then: Thread) -> None:
        if not todo:
            return self.go_on(memory, me, then)
        memory.go(me, "wake", todo, then)

    def wake(self, memory: Memory, me: int) -> None:
        _, todo, then = memory.threads[me]
        bit = 1 << todo[0]
        if memory.permits & bit:
            return self.wake_all(memory, me, todo[1:], then)
        memory.permits |= bit
        memory.go(me, "post", todo, then)

    def post(self, memory: Memory, me: int) -> None:
        _, todo, then = memory.threads[me]
        memory.add_token(todo[0], 1)
        self.wake_all(memory, me, todo[1:], then)

    def go_on(self, memory: Memory, me: int, then: Thread) -> None:
        """Do what was to be done afterwards; at the end of a round, begin the next one."""
        if then[0] != "next":
            return memory.go(me, *then)
        left = memory.rounds[me] - 1
        memory.rounds = (*memory.rounds[:me], left, *memory.rounds[me + 1 :])
        memory.go(me, self.start(self.modes[me]) if left else "done")
