"""What every memory model says: from each state of a test, which steps may come next.

A model is an operational one: a small machine with a memory (store buffers, replicas, ...), and
rules for its steps.  An outcome is allowed if some sequence of steps ends with it, and the explorer
tries all of them.  States are tuples that hash, so that none is visited twice.

What lies between the models, the same in all of them:

- Locks are mutual exclusion.  What they do to the memory besides is each model's own.
- A barrier is one step of all workers together.
- Workers take their instructions in order (`InOrder`); only RMO has its own way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from pydsm.lab.program import Instruction, Test

__all__ = ["EVERYBODY", "Event", "InOrder", "Model", "Moves", "State", "replaced"]

EVERYBODY: Final = -1
_FREE: Final = -1


class State(NamedTuple):
    """Where an execution is.

    ``pcs`` says for each worker how far it is, ``registers`` has None for those not written yet,
    ``holders`` has the worker that holds each location's lock or -1, ``memory`` is the model's own.
    """

    pcs: tuple[int, ...]
    registers: tuple[int | None, ...]
    holders: tuple[int, ...]
    memory: Any


class Event(NamedTuple):
    """A step: who moved (or `EVERYBODY`), and its instruction or what the memory did by itself."""

    worker: int
    what: Instruction | tuple[Any, ...]


Moves = Iterable[tuple[int | None, Any]]
"""Ways in which an instruction can be done now: what it returns, and the memory after it.  None: it waits."""


class Model(ABC):
    """A memory model, bound to the test that it is asked about.

    Attributes
    ----------
    name, title, source : str
        As in commands and tables; in words; the paper or manual.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, test: Test) -> None:
        self.test = test
        self.programs = [[part for step in program for part in self.parts(step)] for program in test.programs]

    def parts(self, step: Instruction) -> Sequence[Instruction]:
        """Return the indivisible parts of an instruction, in order: itself, unless a model says otherwise."""
        return (step,)

    def start(self) -> State:
        """Return the state before anybody has moved."""
        locations = (_FREE,) * len(self.test.locations)
        return State((0,) * self.test.size, (None,) * len(self.test.registers), locations, self.initial())

    @abstractmethod
    def initial(self) -> Any:
        """Return the memory at the start."""

    @abstractmethod
    def steps(self, state: State) -> Iterator[tuple[Event, State]]:
        """Yield every step that may come next, and the state after it."""

    @abstractmethod
    def is_over(self, state: State) -> bool:
        """Say whether nothing that the test asks for can change any more."""

    @abstractmethod
    def finals(self, memory: Any) -> Iterable[tuple[int, ...]]:
        """Return what the locations may hold for who looks when all is over."""

    @abstractmethod
    def show(self, memory: Any) -> Sequence[str]:
        """Return the memory in words, a line for each of its parts."""

    def explain(self, event: Event) -> str:
        """Return an event in words."""
        assert isinstance(event.what, Instruction)
        return event.what.text

    # -- help for models -------------------------------------------------------------

    def ran(self, state: State, worker: int, pc: int, step: Instruction, result: int | None, memory: Any) -> State:
        """Return the state after a worker's instruction."""
        pcs = (*state.pcs[:worker], pc, *state.pcs[worker + 1 :])
        registers, holders = state.registers, state.holders
        if step.register >= 0 and result is not None:
            registers = replaced(registers, step.register, result)
        if step.op == "lock":
            holders = replaced(holders, step.location, worker)
        elif step.op == "unlock":
            holders = replaced(holders, step.location, _FREE)
        return State(pcs, registers, holders, memory)

    def cells(self, values: Sequence[int]) -> str:
        """Return the values of all locations in words."""
        return " ".join(f"{name}={value}" for name, value in zip(self.test.locations, values, strict=True))


class InOrder(Model):
    """Workers take their instructions one after the other; a model says what each does to the memory."""

    @abstractmethod
    def perform(self, memory: Any, worker: int, step: Instruction, value: int | None) -> Moves:
        """Return the ways to do an instruction now; `value` is what it writes or adds."""

    @abstractmethod
    def meet(self, memory: Any) -> Iterable[Any]:
        """Return what the memory may be after a barrier that all have come to; none: they wait."""

    def background(self, memory: Any) -> Iterable[tuple[Event, Any]]:
        """Return what the memory may do by itself: each event, and the memory after it."""
        return ()

    def is_over(self, state: State) -> bool:
        """Say whether all workers have done their last instruction and the memory rests."""
        return all(map(_at_end, state.pcs, self.programs)) and self.rests(state.memory)

    def rests(self, memory: Any) -> bool:
        """Say whether `finals` has come to stay."""
        return True

    def steps(self, state: State) -> Iterator[tuple[Event, State]]:
        """Yield the steps of each worker, of all at a barrier, and of the memory by itself."""
        arrived = 0
        for worker, pc in enumerate(state.pcs):
            if pc == len(self.programs[worker]):
                continue
            step = self.programs[worker][pc]
            if step.op == "barrier":
                arrived += 1
            elif step.op != "lock" or state.holders[step.location] == _FREE:
                value = None if step.value is None else step.value.of(state.registers)
                for result, memory in self.perform(state.memory, worker, step, value):
                    yield Event(worker, step), self.ran(state, worker, pc + 1, step, result, memory)
        if arrived == self.test.size:
            pcs = tuple(pc + 1 for pc in state.pcs)
            for memory in self.meet(state.memory):
                yield Event(EVERYBODY, self.programs[0][pcs[0] - 1]), state._replace(pcs=pcs, memory=memory)
        for event, memory in self.background(state.memory):
            yield event, state._replace(memory=memory)


def replaced(values: tuple[Any, ...], position: int, value: Any) -> tuple[Any, ...]:
    """Return a tuple with one entry changed."""
    return (*values[:position], value, *values[position + 1 :])


def _at_end(pc: int, program: list[Instruction]) -> bool:
    return pc == len(program)
