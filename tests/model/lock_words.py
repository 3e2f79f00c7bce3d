"""The lock words as a model small enough to explore every interleaving.

Each step is one access to shared memory, in the order in which `native/atomic.h`,
`native/region.pyx` and `sync/locktable.py` make them.  Sleeps have no time-out here: what
the real code repairs by waking up after a while would be a stuck state in the model.

A thread is ``(pc, todo, woken)``: the next step, the threads that it still has to wake, and
where it goes on afterwards.  Mutants (`flaws`) leave out or swap single steps; the tests
demand that each of them is caught.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["FLAWS", "Finding", "Model", "State", "explore"]

FLAWS = {
    "wake before release": "the releaser looks for waiters before it clears the word",
    "announce after look": "a waiter sets its lot bit after it has looked at the word",
    "no look after winning": "an exclusive acquirer does not look at the shared bits",
    "no look after sharing": "a sharer does not look at word 0 after setting its bit",
    "silent back-off": "a sharer that backs off does not wake the writer it stopped",
    "no wake after shared": "a shared release does not look for waiters",
    "permit after look": "a waiter clears its permit after it has looked",
    "wake the first": "a shared release wakes the first waiter, not the writer that waits for sharers to leave",
}


@dataclass(frozen=True, slots=True)
class State:
    """Shared memory and threads."""

    word: int  # 0 free, else thread + 1
    shared: int  # bits
    lot: int  # bits
    permits: tuple[int, ...]
    tokens: tuple[int, ...]
    threads: tuple[tuple[str, tuple[int, ...], str], ...]
    rounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and how to get there."""

    what: str
    path: list[str]


class Model:
    """Threads that each acquire the one stripe in their mode, a few times."""

    def __init__(self, modes: str, rounds: int = 1, flaw: str | None = None) -> None:
        assert flaw is None or flaw in FLAWS
        self.modes, self.flaw = modes, flaw
        self.first = State(
            0,
            0,
            0,
            (0,) * len(modes),
            (0,) * len(modes),
            tuple((self.start(mode), (), "") for mode in modes),
            (rounds,) * len(modes),
        )

    def start(self, mode: str) -> str:
        return "cas" if mode == "x" else "peek"

    def inside(self, state: State) -> list[int]:
        return [me for me, (pc, _, _) in enumerate(state.threads) if pc == "inside"]

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        for me, (pc, todo, then) in enumerate(state.threads):
            if pc != "done":
                after = getattr(self, "_" + pc.replace("-", "_"))(state, me, todo, then)
                if after is not None:
                    yield f"{me}:{pc}", after

    # -- building blocks ---------------------------------------------------------

    def go(self, state: State, me: int, pc: str, todo: tuple[int, ...] = (), then: str = "") -> State:
        threads = list(state.threads)
        threads[me] = (pc, todo, then)
        return replace(state, threads=tuple(threads))

    def wake_list(self, state: State, me: int, waiting: tuple[int, ...]) -> tuple[int, ...]:
        waiters = sorted(waiting, key=lambda w: (w <= me, w))
        if state.word and self.flaw != "wake the first":
            return tuple(w for w in waiters if w == state.word - 1)
        if not waiters or self.modes[waiters[0]] == "x":
            return tuple(waiters[:1])
        return tuple(w for w in waiters if self.modes[w] == "s")

    # -- acquire, first try ------------------------------------------------------

    def _cas(self, state: State, me: int, *_: object) -> State:
        if state.word:
            return self.go(state, me, self.slow())
        won = replace(state, word=me + 1)
        return self.go(won, me, "inside" if self.flaw == "no look after winning" else "sharers")

    def _sharers(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, self.slow() if state.shared else "inside")

    def _peek(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, self.slow() if state.word else "share")

    def _share(self, state: State, me: int, *_: object) -> State:
        shared = replace(state, shared=state.shared | 1 << me)
        return self.go(shared, me, "inside" if self.flaw == "no look after sharing" else "confirm")

    def _confirm(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, "inside" if state.word == 0 else "back-off")

    def _back_off(self, state: State, me: int, *_: object) -> State:
        backed = replace(state, shared=state.shared & ~(1 << me))
        if self.flaw == "silent back-off":
            return self.go(backed, me, self.slow())
        return self.go(backed, me, "look-for-waiters", (), self.slow())

    # -- acquire, waiting --------------------------------------------------------

    def slow(self) -> str:
        return "again" if self.flaw == "announce after look" else "announce"

    def _announce(self, state: State, me: int, *_: object) -> State:
        announced = replace(state, lot=state.lot | 1 << me)
        return self.go(announced, me, "park" if self.flaw == "announce after look" else "again")

    def _again(self, state: State, me: int, *_: object) -> State:
        look = "retry-cas" if self.modes[me] == "x" else "retry-peek"
        if self.flaw == "permit after look":
            return self.go(state, me, look)
        return self.go(self.no_permit(state, me), me, look)

    def no_permit(self, state: State, me: int) -> State:
        permits = list(state.permits)
        permits[me] = 0
        return replace(state, permits=tuple(permits))

    def park_pc(self) -> str:
        if self.flaw == "announce after look":
            return "announce"
        return "late-permit" if self.flaw == "permit after look" else "park"

    def _late_permit(self, state: State, me: int, *_: object) -> State:
        return self.go(self.no_permit(state, me), me, "park")

    def _retry_cas(self, state: State, me: int, *_: object) -> State:
        if state.word not in (0, me + 1):
            return self.go(state, me, self.park_pc())
        won = replace(state, word=me + 1)
        return self.go(won, me, "withdraw" if self.flaw == "no look after winning" else "retry-sharers")

    def _retry_sharers(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, self.park_pc() if state.shared else "withdraw")

    def _retry_peek(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, self.park_pc() if state.word else "retry-share")

    def _retry_share(self, state: State, me: int, *_: object) -> State:
        shared = replace(state, shared=state.shared | 1 << me)
        return self.go(shared, me, "withdraw" if self.flaw == "no look after sharing" else "retry-confirm")

    def _retry_confirm(self, state: State, me: int, *_: object) -> State:
        return self.go(state, me, "withdraw" if state.word == 0 else "retry-back-off")

    def _retry_back_off(self, state: State, me: int, *_: object) -> State:
        backed = replace(state, shared=state.shared & ~(1 << me))
        if self.flaw == "silent back-off":
            return self.go(backed, me, self.park_pc())
        return self.go(backed, me, "look-for-waiters", (), self.park_pc())

    def _park(self, state: State, me: int, *_: object) -> State | None:
        if not state.tokens[me]:
            return None
        tokens = list(state.tokens)
        tokens[me] -= 1
        return self.go(replace(state, tokens=tuple(tokens)), me, "again")

    def _withdraw(self, state: State, me: int, *_: object) -> State:
        return self.go(replace(state, lot=state.lot & ~(1 << me)), me, "inside")

    # -- release and wake --------------------------------------------------------

    def _inside(self, state: State, me: int, *_: object) -> State:
        if self.flaw == "wake before release":
            return self.go(state, me, "look-for-waiters", (), "clear-last")
        return self.go(state, me, "clear")

    def cleared(self, state: State, me: int) -> State:
        if self.modes[me] == "x":
            return replace(state, word=0)
        return replace(state, shared=state.shared & ~(1 << me))

    def _clear(self, state: State, me: int, *_: object) -> State:
        if self.flaw == "no wake after shared" and self.modes[me] == "s":
            return self.go(self.cleared(state, me), me, "next")
        return self.go(self.cleared(state, me), me, "look-for-waiters", (), "next")

    def _clear_last(self, state: State, me: int, *_: object) -> State:
        return self.go(self.cleared(state, me), me, "next")

    def _look_for_waiters(self, state: State, me: int, todo: tuple[int, ...], then: str) -> State:
        waiting = tuple(w for w in range(len(self.modes)) if state.lot >> w & 1)
        return self.go(state, me, "choose", waiting, then)

    def _choose(self, state: State, me: int, todo: tuple[int, ...], then: str) -> State:
        return self.go(state, me, "wake", self.wake_list(state, me, todo), then)

    def _wake(self, state: State, me: int, todo: tuple[int, ...], then: str) -> State:
        if not todo:
            return self.go(state, me, then)
        permits = list(state.permits)
        was, permits[todo[0]] = permits[todo[0]], 1
        after = replace(state, permits=tuple(permits))
        return self.go(after, me, "wake", todo[1:], then) if was else self.go(after, me, "post", todo, then)

    def _post(self, state: State, me: int, todo: tuple[int, ...], then: str) -> State:
        tokens = list(state.tokens)
        tokens[todo[0]] += 1
        return self.go(replace(state, tokens=tuple(tokens)), me, "wake", todo[1:], then)

    def _next(self, state: State, me: int, *_: object) -> State:
        rounds = list(state.rounds)
        rounds[me] -= 1
        again = self.start(self.modes[me]) if rounds[me] else "done"
        return self.go(replace(state, rounds=tuple(rounds)), me, again)


def explore(model: Model) -> tuple[int, Finding | None]:
    """Visit every reachable state; return how many, and the first thing found wrong."""
    came_from: dict[State, tuple[State, str] | None] = {model.first: None}
    todo = deque([model.first])
    while todo:
        state = todo.popleft()
        inside = model.inside(state)
        if len(inside) > 1 and any(model.modes[me] == "x" for me in inside):
            return len(came_from), Finding("two are inside", _path(came_from, state))
        stuck = True
        for label, after in model.successors(state):
            stuck = False
            if after not in came_from:
                came_from[after] = (state, label)
                todo.append(after)
        if stuck:
            if any(pc != "done" for pc, _, _ in state.threads):
                return len(came_from), Finding("a wake-up is lost", _path(came_from, state))
            if state.word or state.shared or state.lot:
                return len(came_from), Finding("something stays held", _path(came_from, state))
    return len(came_from), None


def _path(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    path = []
    step = came_from[state]
    while step is not None:
        state, label = step
        path.append(label)
        step = came_from[state]
    return path[::-1]
