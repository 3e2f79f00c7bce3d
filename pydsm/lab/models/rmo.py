"""RMO, relaxed memory order: reads, too, may be done early.

The SPARC Architecture Manual, version 9 (1994), appendix D.  Each worker has a window with all its
instructions and does them in any order, one memory for all, as long as these stay in program order:

- an access and a later write to the same location;
- a read and what uses its register (there is no value before it is read: nothing comes out of thin air);
- everything before a fence and the fence, the fence and everything after it.  `lock`, `unlock`, atomic
  operations and barriers count as fences.

A read whose location has an earlier write of the same worker that is not done yet takes its value.

The letter of the manual lets two reads of *one* location pass each other, so that a worker may see a new
value and then the old one (the "load-load hazard" of Alglave, Maranget and Tautschnig, *Herding cats*,
2014, section 4).  Machines since then do not: `RMO` keeps such reads in order, `RMO9` is the letter.

Known limit: there are no branches in a litmus test here, hence no dependencies through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydsm.lab.models.base import EVERYBODY, Event, Model, State
from pydsm.lab.models.sc import Cells, access
from pydsm.lab.program import Instruction, Test

__all__ = ["RMO", "RMO9"]

_PLAIN = frozenset({"read", "write"})


class RMO(Model):
    """Relaxed memory order, with the reads of one location in order; ``pcs`` are masks of what is done."""

    name = "rmo"
    title = "relaxed memory order (SPARC V9), reads of one location in order"
    source = "SPARC Architecture Manual, version 9, 1994; Alglave, Maranget and Tautschnig, Herding cats, 2014"

    def __init__(self, test: Test) -> None:
        super().__init__(test)
        self.before = [[self.earlier(program, place) for place in range(len(program))] for program in self.programs]
        self.all = tuple((1 << len(program)) - 1 for program in self.programs)

    def keeps(self, first: Instruction, second: Instruction) -> bool:
        """Say whether two instructions of a worker stay in program order."""
        if first.op not in _PLAIN or second.op not in _PLAIN:
            return True
        if second.value is not None and first.register in second.value.registers:
            return True
        return first.location == second.location and (second.op == "write" or first.op == "read")

    def earlier(self, program: Sequence[Instruction], place: int) -> int:
        """Return the mask of what has to be done before an instruction."""
        return sum(1 << i for i in range(place) if self.keeps(program[i], program[place]))

    def initial(self) -> Cells:
        """Return the initial values."""
        return self.test.initial

    def steps(self, state: State) -> Iterator[tuple[Event, State]]:
        """Yield each instruction of each worker that nothing earlier holds back."""
        arrived: list[int] = []
        for worker, done in enumerate(state.pcs):
            for place, step in enumerate(self.programs[worker]):
                if done >> place & 1 or self.before[worker][place] & ~done:
                    continue
                if step.op == "barrier":
                    arrived.append(done | 1 << place)
                elif step.op != "lock" or state.holders[step.location] < 0:
                    for result, memory in self.perform(state, worker, place):
                        after = self.ran(state, worker, done | 1 << place, step, result, memory)
                        yield Event(worker, step), after
        if len(arrived) == self.test.size:
            barrier = next(step for step in self.programs[0] if step.op == "barrier")
            yield Event(EVERYBODY, barrier), state._replace(pcs=tuple(arrived))

    def perform(self, state: State, worker: int, place: int) -> Iterable[tuple[int | None, Cells]]:
        """Do an instruction to the memory, or read what an earlier one is going to write."""
        step = self.programs[worker][place]
        if step.op == "read":
            for earlier in range(place - 1, -1, -1):
                other = self.programs[worker][earlier]
                if other.op == "write" and other.location == step.location and not state.pcs[worker] >> earlier & 1:
                    assert other.value is not None
                    if any(state.registers[register] is None for register in other.value.registers):
                        return ()
                    return ((other.value.of(state.registers), state.memory),)
        value = None if step.value is None else step.value.of(state.registers)
        return (access(state.memory, step, value),)

    def is_over(self, state: State) -> bool:
        """Say whether everything is done."""
        return state.pcs == self.all

    def finals(self, memory: Cells) -> Iterable[tuple[int, ...]]:
        """Return the memory."""
        return (memory,)

    def show(self, memory: Cells) -> Sequence[str]:
        """Return the memory in words."""
        return (f"memory {self.cells(memory)}",)


class RMO9(RMO):
    """Relaxed memory order to the letter."""

    name = "rmo9"
    title = "relaxed memory order, the letter of SPARC V9: even reads of one location pass each other"
    source = "SPARC Architecture Manual, version 9, 1994, appendix D"

    def keeps(self, first: Instruction, second: Instruction) -> bool:
        """Say whether two instructions of a worker stay in program order."""
        both_read = first.op == second.op == "read"
        return not both_read and super().keeps(first, second)
