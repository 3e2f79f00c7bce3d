"""Lazy memories: each worker has a replica, and nothing arrives before the worker asks for it.

As weak as docs/memory-model.md allows: a write is shown to another worker only when synchronisation
demands it.  An *acquire* of a lock brings what its last *release* covered; the models built on this differ
in what a release covers (`covered`).  Every write knows which writes its worker knew when it was made: its
past.  Where a pull brings several writes to one location, the latest is shown; where none of them is in
the past of all others (that is a race), any of those that are latest may be.

- A fence publishes all that its worker knows, then pulls all that is published, also by releases.
- An atomic operation is a fence with one more step in its middle: it changes the home of its element,
  which has the latest published write.  Others may come between the three steps.
- A barrier is one step in which all publish and all pull.
- A worker publishes when its program ends: others may still be at a fence then.  Who looks at the
  locations when all is over has pulled everything.

A memory is, for each worker, the mask of the writes it knows and the number of the write that each
location shows (-1: its initial value); the mask that each lock covers; the mask of what is published; and
for each write its past and its value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from pydsm.lab.models.base import InOrder, Moves, replaced
from pydsm.lab.models.replicas import mask_of
from pydsm.lab.program import ATOMIC, Instruction, Test

__all__ = ["Intervals", "Lazy"]


class Intervals(NamedTuple):
    """Who knows which writes, and what the writes were."""

    known: tuple[int, ...]
    shown: tuple[tuple[int, ...], ...]
    locks: tuple[int, ...]
    published: int
    made: tuple[tuple[int, int] | None, ...]
    """For each write that has happened: the mask of its past, and its value."""


class Lazy(InOrder):
    """Replicas that pull when they acquire."""

    def __init__(self, test: Test) -> None:
        super().__init__(test)
        if any(step.op == "pull" for program in self.programs for step in program):
            for program in self.programs:
                program.append(Instruction("publish", "ends: publish"))
        self.place = [write.location for write in test.writes]
        self.of_location = [
            mask_of(w for w, at in enumerate(self.place) if at == x) for x in range(len(test.locations))
        ]

    @abstractmethod
    def covered(self, location: int) -> int:
        """Return the mask of the writes that the lock of a location speaks for."""

    def parts(self, step: Instruction) -> Sequence[Instruction]:
        """Return the steps of a fence and of an atomic operation."""
        if step.op != "fence" and step.op not in ATOMIC:
            return (step,)
        around = [Instruction(op, f"{step.text}: {op}") for op in ("publish", "pull")]
        return around if step.op == "fence" else [around[0], replace(step, text=f"{step.text}: at home"), around[1]]

    def initial(self) -> Intervals:
        """Return replicas with the initial values, and nothing known of any write."""
        locations = len(self.test.locations)
        shown = ((-1,) * locations,) * self.test.size
        return Intervals((0,) * self.test.size, shown, (0,) * locations, 0, (None,) * len(self.place))

    def perform(self, memory: Intervals, worker: int, step: Instruction, value: int | None) -> Moves:
        """Do an instruction to the own replica; a lock, a pull or an atomic operation looks further."""
        known = memory.known[worker]
        if step.op == "read":
            return ((self.value(memory, memory.shown[worker][step.location], step.location), memory),)
        if step.op == "write":
            assert value is not None
            return ((None, self.written(memory, worker, step, value, known)),)
        if step.op == "publish":
            return ((None, memory._replace(published=memory.published | known)),)
        if step.op == "pull":
            return ((None, after) for after in self.pulled(memory, worker, memory.published))
        if step.op == "lock":
            return ((None, after) for after in self.pulled(memory, worker, memory.locks[step.location]))
        if step.op == "unlock":
            given = known & self.covered(step.location)
            locks = replaced(memory.locks, step.location, memory.locks[step.location] | given)
            return ((None, memory._replace(locks=locks, published=memory.published | given)),)
        return self.at_home(memory, worker, step, value)

    def at_home(self, memory: Intervals, worker: int, step: Instruction, value: int | None) -> Moves:
        """Do an atomic operation to the latest published write of its location."""
        for latest in self.latest(memory, memory.published, step.location):
            old = self.value(memory, latest, step.location)
            if value is None:
                yield old, memory
            else:
                past = memory.known[worker] | memory.published
                after = self.written(memory, worker, step, step.change(old, value), past)
                yield old, after._replace(published=after.published | 1 << step.write)

    def written(self, memory: Intervals, worker: int, step: Instruction, value: int, past: int) -> Intervals:
        """Return the memory with a new write in the replica of its worker."""
        shown = replaced(memory.shown[worker], step.location, step.write)
        return memory._replace(
            known=replaced(memory.known, worker, memory.known[worker] | 1 << step.write),
            shown=replaced(memory.shown, worker, shown),
            made=replaced(memory.made, step.write, (past, value)),
        )

    def pulled(self, memory: Intervals, worker: int, mask: int) -> Iterator[Intervals]:
        """Yield what the memory may be when a worker has pulled these writes."""
        new = mask & ~memory.known[worker]
        if not new:
            yield memory
            return
        known = memory.known[worker] | new
        choices = [
            self.latest(memory, known, location) if new & of_location else (memory.shown[worker][location],)
            for location, of_location in enumerate(self.of_location)
        ]
        for shown in product(*choices):
            yield memory._replace(
                known=replaced(memory.known, worker, known), shown=replaced(memory.shown, worker, shown)
            )

    def latest(self, memory: Intervals, known: int, location: int) -> Sequence[int]:
        """Return the writes to a location, of those known, that are in no other's past; -1 if there are none."""
        writes = [
            (w, made) for w, made in enumerate(memory.made) if made and (known & self.of_location[location]) >> w & 1
        ]
        return [w for w, _ in writes if not any(past >> w & 1 for _, (past, _) in writes)] or [-1]

    def value(self, memory: Intervals, write: int, location: int) -> int:
        """Return the value of a write, or the initial one of its location."""
        made = memory.made[write] if write >= 0 else None
        return self.test.initial[location] if made is None else made[1]

    def meet(self, memory: Intervals) -> Iterable[Intervals]:
        """Let all publish and pull at once."""
        everything = memory.published
        for known in memory.known:
            everything |= known
        found = [memory._replace(published=everything)]
        for worker in range(self.test.size):
            found = [after for before in found for after in self.pulled(before, worker, everything)]
        return found

    def finals(self, memory: Intervals) -> Iterable[tuple[int, ...]]:
        """Return what may be shown to who has pulled everything."""
        everything = (1 << len(self.place)) - 1
        choices = [
            {self.value(memory, write, location) for write in self.latest(memory, everything, location)}
            for location in range(len(self.test.locations))
        ]
        return product(*choices)

    def show(self, memory: Intervals) -> Sequence[str]:
        """Return replicas, locks and what is published in words."""
        lines = []
        for worker, shown in enumerate(memory.shown):
            cells = [self.value(memory, write, location) for location, write in enumerate(shown)]
            lines.append(f"replica of P{worker}: {self.cells(cells)}")
        for location, mask in enumerate(memory.locks):
            if mask:
                lines.append(f"lock of {self.test.locations[location]} covers: {self.writes(memory, mask)}")
        if memory.published:
            lines.append(f"published: {self.writes(memory, memory.published)}")
        return lines

    def writes(self, memory: Intervals, mask: int) -> str:
        """Return the writes of a mask in words."""
        made = [(self.place[w], entry[1]) for w, entry in enumerate(memory.made) if entry and mask >> w & 1]
        return ", ".join(f"{self.test.locations[location]} = {value}" for location, value in made)
