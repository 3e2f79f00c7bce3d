"""SC, sequential consistency: one memory, one worker moves at a time.

"The result of any execution is the same as if the operations of all the processors were executed in some
sequential order, and the operations of each individual processor appear in this sequence in the order
specified by its program" (Lamport, 1979).

Here: one value for each location.  Fences do nothing; locks exclude; an atomic operation is one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydsm.lab.models.base import InOrder, Moves, replaced
from pydsm.lab.program import ATOMIC, Instruction

__all__ = ["SC", "access"]

Cells = tuple[int, ...]


class SC(InOrder):
    """Sequential consistency."""

    name = "sc"
    title = "sequential consistency"
    source = "Lamport, How to make a multiprocessor computer that correctly executes multiprocess programs, 1979"

    def initial(self) -> Cells:
        """Return the initial values."""
        return self.test.initial

    def perform(self, memory: Cells, worker: int, step: Instruction, value: int | None) -> Moves:
        """Do an instruction at once."""
        return (access(memory, step, value),)

    def meet(self, memory: Cells) -> Iterable[Cells]:
        """Let them pass."""
        return (memory,)

    def finals(self, memory: Cells) -> Iterable[tuple[int, ...]]:
        """Return the memory."""
        return (memory,)

    def show(self, memory: Cells) -> Sequence[str]:
        """Return the memory in words."""
        return (f"memory {self.cells(memory)}",)


def access(memory: Cells, step: Instruction, value: int | None) -> tuple[int | None, Cells]:
    """Do an instruction to a memory that everybody shares."""
    if step.op == "read":
        return memory[step.location], memory
    if step.op == "write":
        return None, replaced(memory, step.location, value)
    if step.op in ATOMIC:
        old = memory[step.location]
        return old, memory if value is None else replaced(memory, step.location, step.change(old, value))
    return None, memory
