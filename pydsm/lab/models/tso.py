"""TSO, total store order: writes wait in a buffer of their worker's.

A write goes to the end of its worker's buffer; the oldest write of any buffer may go to the memory at any
time.  A read takes the newest write to its location in the own buffer, or else what the memory holds.
This is the abstract machine of Sewell, Sarkar, Owens, Zappa Nardelli and Myreen (2010) for x86, and
SPARC's TSO (the SPARC Architecture Manual, version 8, 1992).

Fences (x86's MFENCE) wait until the own buffer is empty.  So do atomic operations, `lock` and `unlock`, which
are instructions with a LOCK prefix in pydsm: each is a full fence.  A barrier waits for all buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydsm.lab.models.base import Event, InOrder, Moves, replaced
from pydsm.lab.models.sc import Cells, access
from pydsm.lab.program import Instruction

__all__ = ["TSO", "Buffered"]

Buffer = tuple[tuple[int, int], ...]
"""Pairs of location and value, the oldest first."""


class Buffered(NamedTuple):
    """The memory, and the buffer of each worker."""

    cells: Cells
    buffers: tuple[Buffer, ...]


class TSO(InOrder):
    """Total store order."""

    name = "tso"
    title = "total store order (x86)"
    source = "Sewell et al., x86-TSO, 2010; SPARC Architecture Manual, version 8, 1992"

    def leaving(self, buffer: Buffer) -> Sequence[int]:
        """Return which writes of a buffer may go to the memory next: here the oldest."""
        return range(min(1, len(buffer)))

    def may_pass(self, buffer: Buffer, step: Instruction) -> bool:
        """Say whether an instruction that is no plain access may be done over this buffer."""
        return not buffer

    def initial(self) -> Buffered:
        """Return the initial values and empty buffers."""
        return Buffered(self.test.initial, ((),) * self.test.size)

    def perform(self, memory: Buffered, worker: int, step: Instruction, value: int | None) -> Moves:
        """Do an instruction, to the own buffer if it is a write."""
        cells, buffers = memory
        own = buffers[worker]
        if step.op == "write":
            assert value is not None
            return ((None, Buffered(cells, replaced(buffers, worker, (*own, (step.location, value))))),)
        if step.op == "read":
            for location, waiting in reversed(own):
                if location == step.location:
                    return ((waiting, memory),)
            return ((cells[step.location], memory),)
        if not self.may_pass(own, step):
            return ()
        result, after = access(cells, step, value)
        return ((result, Buffered(after, buffers)),)

    def meet(self, memory: Buffered) -> Iterable[Buffered]:
        """Let them pass when all buffers are empty."""
        return () if any(memory.buffers) else (memory,)

    def background(self, memory: Buffered) -> Iterable[tuple[Event, Buffered]]:
        """Move a write from a buffer to the memory."""
        for worker, buffer in enumerate(memory.buffers):
            for position in self.leaving(buffer):
                location, value = buffer[position]
                rest = replaced(memory.buffers, worker, buffer[:position] + buffer[position + 1 :])
                yield Event(worker, buffer[position]), Buffered(replaced(memory.cells, location, value), rest)

    def rests(self, memory: Buffered) -> bool:
        """Say whether all buffers are empty."""
        return not any(memory.buffers)

    def finals(self, memory: Buffered) -> Iterable[tuple[int, ...]]:
        """Return the memory."""
        return (memory.cells,)

    def explain(self, event: Event) -> str:
        """Say which write leaves a buffer."""
        if isinstance(event.what, Instruction):
            return event.what.text
        location, value = event.what
        return f"its {self.test.locations[location]} = {value} leaves the store buffer"

    def show(self, memory: Buffered) -> Sequence[str]:
        """Return memory and buffers in words."""
        names = self.test.locations
        waiting = (", ".join(f"{names[where]} = {value}" for where, value in buffer) for buffer in memory.buffers)
        buffers = (f"P{worker} [{writes}]" for worker, writes in enumerate(waiting))
        return f"memory {self.cells(memory.cells)}", f"buffers {' '.join(buffers)}"
