"""Exhaustive exploration: every state that a test can come to under a model, each once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from pydsm.lab.models.base import Event, Model, State
from pydsm.lab.program import Outcome

__all__ = ["explore", "find_path"]

_MOST_STATES: Final = 2_000_000


def explore(model: Model) -> frozenset[Outcome]:
    """Return every outcome that the model allows its test.

    Raises
    ------
    RuntimeError
        The test has more states than anybody wants to wait for.
    """
    start = model.start()
    seen, todo = {start}, [start]
    found: set[tuple[int, ...]] = set()
    while todo:
        state = todo.pop()
        if model.is_over(state):
            found.update(_results(model, state))
            continue
        for _, after in model.steps(state):
            if after not in seen:
                seen.add(after)
                todo.append(after)
        if len(seen) > _MOST_STATES:
            raise RuntimeError(f"test {model.test.name!r} has more than {_MOST_STATES} states under {model.name}")
    return frozenset(map(model.test.outcome, found))


def find_path(model: Model, wanted: Iterable[Outcome]) -> tuple[Outcome, list[tuple[Event | None, State]]] | None:
    """Return one of the wanted outcomes and a shortest way to it, from the start; None if there is no way."""
    outcomes = set(wanted)
    start = model.start()
    came: dict[State, tuple[Event, State] | None] = {start: None}
    todo = deque([start])
    while todo:
        state = todo.popleft()
        if model.is_over(state):
            reached = sorted(outcomes & set(map(model.test.outcome, _results(model, state))))
            if reached:
                return reached[0], list(_way(came, state))[::-1]
            continue
        for event, after in model.steps(state):
            if after not in came:
                came[after] = event, state
                todo.append(after)
    return None


def _way(came: dict[State, tuple[Event, State] | None], state: State) -> Iterator[tuple[Event | None, State]]:
    while (before := came[state]) is not None:
        yield before[0], state
        state = before[1]
    yield None, state


def _results(model: Model, state: State) -> Iterator[tuple[int, ...]]:
    registers = tuple(value for value in state.registers if value is not None)
    for cells in model.finals(state.memory):
        yield registers + tuple(cells[location] for location in model.test.finals)
