"""Visit every state that a model can reach, and say what is wrong with one of them."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Finding", "Machine", "explore"]


class Machine(Protocol):
    """States, what may happen in them, and what must not be."""

    first: Hashable
    accidents: frozenset[str]
    """Steps that may never be made, so nobody's getting on may depend on them."""

    def successors(self, state: Hashable) -> Iterable[tuple[int, str, Hashable]]:
        """Yield what may happen next: who makes which step, and the state after it."""

    def wrong(self, state: Hashable) -> str | None:
        """Return what is wrong in a state, if anything is."""

    def is_over(self, state: Hashable) -> bool:
        """Say whether everybody has ended."""

    def left(self, state: Hashable) -> str | None:
        """Return what is wrong with what is left when everybody has ended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and how to get there."""

    what: str
    path: list[str]


def explore(machine: Machine) -> tuple[int, Finding | None]:
    """Visit every reachable state; return how many, and the first thing found wrong.

    Wrong is also a state from which no end can be reached without accidents: somebody is
    stuck there, or goes round in circles.
    """
    gc.disable()  # a fifth faster: nothing here is a cycle
    try:
        return _explore(machine)
    finally:
        gc.enable()


def _explore(machine: Machine) -> tuple[int, Finding | None]:
    number = {machine.first: 0}
    states = [machine.first]
    reached = [(0, 0, "")]  # from which state, by whom, by what
    before: list[list[int]] = [[]]
    ends = []
    for here, state in enumerate(states):  # which grows meanwhile
        is_over = machine.is_over(state)
        wrong = machine.wrong(state) or (machine.left(state) if is_over else None)
        if wrong:
            return len(states), Finding(wrong, _path(reached, here))
        if is_over:
            ends.append(here)
        for who, step, after in machine.successors(state):
            there = number.setdefault(after, len(states))
            if there == len(states):
                states.append(after)
                reached.append((here, who, step))
                before.append([])
            if step not in machine.accidents:
                before[there].append(here)
    stuck = _cannot_reach(ends, before)
    if stuck is not None:
        return len(states), Finding("somebody is stuck", _path(reached, stuck))
    return len(states), None


def _cannot_reach(ends: list[int], before: list[list[int]]) -> int | None:
    """Return the first state from which none of the ends can be reached."""
    can = bytearray(len(before))
    while ends:
        state = ends.pop()
        if not can[state]:
            can[state] = True
            ends += before[state]
    first = can.find(0)
    return None if first < 0 else first


def _path(reached: list[tuple[int, int, str]], state: int) -> list[str]:
    path = []
    while state:
        state, who, step = reached[state]
        path.append(f"{who}:{step}")
    return path[::-1]
