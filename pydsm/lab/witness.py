"""An execution that ends with a given outcome, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydsm.lab.models.base import EVERYBODY, Event, Model, State
from pydsm.lab.program import Outcome, Test

__all__ = ["Step", "Witness", "narrate"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: who moves (-1: all at a barrier), what happens, and how things are after it.

    Attributes
    ----------
    worker : int
        ``Test.size`` means the parent, who looks when all is over.
    what : str
    memory : tuple of str
        Memory, buffers or replicas, a line for each.
    registers : tuple of (str, int)
        Those that have been written so far.
    """

    worker: int
    what: str
    memory: tuple[str, ...]
    registers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """A shortest execution of a test under a model that ends with an outcome; printing it shows the steps.

    Attributes
    ----------
    test : Test
    model : str
    outcome : Outcome
    start : tuple of str
        The memory before the first step.
    steps : tuple of Step
    """

    test: Test
    model: str
    outcome: Outcome
    start: tuple[str, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"{self.test.name} under {self.model} ends with {self.outcome}"]
        lines += [f"{'':10}{line}" for line in self.start]
        before = self.start
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:3}. {self.who(step.worker):5}{step.what}{_result(step, self.steps[: number - 1])}")
            lines += [f"{'':10}{line}" for line in step.memory if line not in before]
            before = step.memory
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return what there is to say, for JSON."""
        steps = [
            {"who": self.who(step.worker), "what": step.what, "memory": step.memory, "registers": dict(step.registers)}
            for step in self.steps
        ]
        outcome = dict(self.outcome.items)
        return {"test": self.test.name, "model": self.model, "outcome": outcome, "start": self.start, "steps": steps}

    def who(self, worker: int) -> str:
        """Return how a worker is called."""
        return {EVERYBODY: "all", self.test.size: "end"}.get(worker, f"P{worker}")


def narrate(model: Model, outcome: Outcome, path: list[tuple[Event | None, State]]) -> Witness:
    """Return a path of the explorer's as a witness."""
    shown = [tuple(model.show(state.memory)) for _, state in path]
    steps = tuple(
        Step(event.worker, model.explain(event), memory, _registers(model.test, state))
        for (event, state), memory in zip(path, shown, strict=True)
        if event is not None
    )
    return Witness(model.test, model.name, outcome, shown[0], steps)


def _registers(test: Test, state: State) -> tuple[tuple[str, int], ...]:
    pairs = zip(test.registers, state.registers, strict=True)
    return tuple((name, value) for name, value in pairs if value is not None)


def _result(step: Step, before: tuple[Step, ...]) -> str:
    known = set(before[-1].registers) if before else set()
    return "".join(
        f"   -> {label.split(':')[1]} is {value}" for label, value in step.registers if (label, value) not in known
    )
