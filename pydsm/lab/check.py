"""What the instructions of a test must keep to, so that no execution of it can get stuck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from pydsm.lab.program import Instruction

__all__ = ["check"]

_Fail = Callable[[Instruction | None, str], NoReturn]


def check(columns: Sequence[Sequence[Instruction]], locations: Sequence[str] | dict[str, int], fail: _Fail) -> None:
    """Call `fail` with an instruction and a sentence if a test could wait for ever."""
    names = list(locations)
    for worker, column in enumerate(columns):
        _check_locks(worker, column, names, fail)
    meetings = [sum(step.op == "barrier" for step in column) for column in columns]
    if len(set(meetings)) > 1:
        last = next(step for column in columns for step in reversed(column) if step.op == "barrier")
        counts = ", ".join(f"P{worker} to {count}" for worker, count in enumerate(meetings))
        fail(last, f"every worker comes to the same number of barriers, but {counts}")


def _check_locks(worker: int, column: Sequence[Instruction], names: list[str], fail: _Fail) -> None:
    """Demand that locks are nested, and taken in the order in which the test names the locations first."""
    held: list[Instruction] = []
    for step in column:
        if step.op == "lock":
            if any(step.location == other.location for other in held):
                fail(step, f"P{worker} has locked {names[step.location]} already")
            if held and step.location < held[-1].location:
                order = f"{names[step.location]} before {names[held[-1].location]}"
                fail(step, f"a worker that holds several locks takes them in one order: here {order}")
            held.append(step)
        elif step.op == "unlock":
            if not held or held[-1].location != step.location:
                last = f"the last that it locked is {names[held[-1].location]}" if held else "it has locked nothing"
                fail(step, f"P{worker} cannot unlock {names[step.location]}: {last}")
            held.pop()
        elif step.op == "barrier" and held:
            fail(step, f"P{worker} holds {names[held[-1].location]} at a barrier: others may wait for it there")
    if held:
        fail(held[-1], f"P{worker} never unlocks {names[held[-1].location]}")
