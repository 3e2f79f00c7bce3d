"""A model of waiting for an element: `wait_until`, and atomic operations that wake.

Every step is one atomic access to shared memory.  Sleeps have no time-outs here, so a
wake-up that is lost leaves its sleeper stuck for ever, and the explorer finds it.

Changers add 1 to the element, once each.  Watcher w waits until it is at least its goal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["FLAWS", "Watching"]

FLAWS = {
    "look before the lot": "a watcher looks at the element, and only then enters the lot",
    "lot before the change": "a changer reads the lot, and only then changes the element",
    "permit after the look": "a watcher clears its permit after it has looked",
    "no kind": "a changer takes the lot's watcher for one that waits for a lock",
}

_ENTER, _CLEAR, _LOOK, _SLEEP, _LEAVE, _DONE = range(6)
_CHANGE, _READ, _WAKE, _GONE = range(10, 14)


class State(NamedTuple):
    """What everybody does, and the shared words."""

    doing: tuple[int, ...]  # watchers, then changers
    todo: tuple[frozenset[int], ...]  # of each changer: whom it still has to wake
    element: int
    lot: frozenset[int]
    permits: tuple[int, ...]
    tokens: tuple[int, ...]


class Watching:
    """Watchers with their goals, and changers."""

    accidents: frozenset[str] = frozenset()

    def __init__(self, goals: tuple[int, ...], changers: int, flaw: str | None = None) -> None:
        self._goals, self._flaw = goals, flaw
        watchers = len(goals)
        order = [_ENTER, _CLEAR, _LOOK, _SLEEP]
        if flaw == "look before the lot":
            order = [_CLEAR, _LOOK, _ENTER, _SLEEP]
        if flaw == "permit after the look":
            order = [_ENTER, _LOOK, _CLEAR, _SLEEP]
        self._next = dict(itertools.pairwise(order))
        self._first_step = order[0]
        self._again = _ENTER if flaw is None else order[0]  # it enters the lot each time
        begin = _READ if flaw == "lot before the change" else _CHANGE
        self.first = State(
            (self._first_step,) * watchers + (begin,) * changers,
            (frozenset(),) * changers,
            0,
            frozenset(),
            (0,) * watchers,
            (0,) * watchers,
        )

    def successors(self, state: State) -> Iterator[tuple[int, str, State]]:
        """Yield who may make which step next, and the state after it."""
        for who, step in enumerate(state.doing):
            after = self._watch(state, who, step) if who < len(self._goals) else self._change(state, who, step)
            if after is not None:
                yield who, str(step), after

    def _watch(self, state: State, who: int, step: int) -> State | None:
        if step == _DONE:
            return None
        if step == _ENTER:
            state = state._replace(lot=state.lot | {who})
        elif step == _CLEAR:
            state = state._replace(permits=_put(state.permits, who, 0))
        elif step == _LOOK:
            if state.element >= self._goals[who]:
                return state._replace(doing=_put(state.doing, who, _LEAVE))
        elif step == _SLEEP:
            if not state.tokens[who]:
                return None
            tokens = _put(state.tokens, who, state.tokens[who] - 1)
            return state._replace(tokens=tokens, doing=_put(state.doing, who, self._again))
        else:
            return state._replace(lot=state.lot - {who}, doing=_put(state.doing, who, _DONE))
        return state._replace(doing=_put(state.doing, who, self._next[step]))

    def _change(self, state: State, who: int, step: int) -> State | None:
        changer = who - len(self._goals)
        early = self._flaw == "lot before the change"
        if step == _CHANGE:
            then = _WAKE if early else _READ
            return state._replace(element=state.element + 1, doing=_put(state.doing, who, then))
        if step == _READ:
            found = frozenset() if self._flaw == "no kind" else state.lot
            state = state._replace(todo=_put(state.todo, changer, found))
            return state._replace(doing=_put(state.doing, who, _CHANGE if early else _WAKE))
        if step == _GONE:
            return None
        if not state.todo[changer]:
            return state._replace(doing=_put(state.doing, who, _GONE))
        sleeper = min(state.todo[changer])
        tokens = state.tokens  # the permit and the post are two steps for who may die; here nobody does
        if not state.permits[sleeper]:
            tokens = _put(tokens, sleeper, tokens[sleeper] + 1)
        todo = _put(state.todo, changer, state.todo[changer] - {sleeper})
        return state._replace(permits=_put(state.permits, sleeper, 1), tokens=tokens, todo=todo)

    def wrong(self, state: State) -> str | None:
        """Return what is wrong in a state, if anything is."""
        early = [w for w, goal in enumerate(self._goals) if state.doing[w] == _DONE and state.element < goal]
        return f"watchers {early} went on too early" if early else None

    def is_over(self, state: State) -> bool:
        """Say whether everybody has ended."""
        return all(step in (_DONE, _GONE) for step in state.doing)

    def left(self, state: State) -> str | None:
        """Return what is wrong with what is left when everybody has ended."""
        return "somebody is left in the lot" if state.lot else None


def _put(values: tuple, index: int, value: object) -> tuple:
    return (*values[:index], value, *values[index + 1 :])
