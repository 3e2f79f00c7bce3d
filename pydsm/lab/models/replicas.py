"""Replicas: each worker has a copy of all locations; writes are messages that arrive one by one.

A write changes the own replica at once and is sent to all others.  A read looks at the own replica only.
The models that are built on this differ in what a message has to wait for (`waits_for`): the causal past
of its write, the earlier writes of its sender, or only those to the same location.

Synchronisation is eager, as in Munin (Carter, Bennett and Zwaenepoel, 1991):

- A fence waits until the worker's writes have arrived everywhere (`owes`).  What was out is then in by itself.
- `unlock` does so too, before another can have the lock; `lock` has nothing to wait for but the lock.
- An atomic operation does so too, and takes place in all replicas in one step.
- A barrier waits until every write has arrived everywhere.

Whoever looks at the locations when all is over, as the parent of a team does, is one more replica, which
only receives.  It is part of a state only if a test asks for locations.

Two kinds of messages make no difference and are left out, or there would be too many states: those to a
worker that looks at its replica no more (it is `deaf`: nobody waits for it), and, in a test without
synchronisation, those to the parent before all writes have happened.

A memory here is, for each replica, the mask of the writes that have arrived and the number of the write that
each location shows (-1: its initial value); and for each write what its message waits for, and its value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pydsm.lab.models.base import Event, InOrder, Moves, replaced
from pydsm.lab.program import ATOMIC, Instruction, Test

__all__ = ["Copies", "Replicas", "mask_of"]


_PLAIN: Final = frozenset({"read", "write"})
_BLIND: Final = frozenset({"write", "store_release", "fence", "lock", "unlock"})


class Copies(NamedTuple):
    """What each replica has, and what the writes were."""

    arrived: tuple[int, ...]
    shown: tuple[tuple[int, ...], ...]
    sent: tuple[tuple[int, int] | None, ...]
    """For each write that has happened: the mask that its message waits for, and its value."""
    deaf: int
    """The mask of the replicas that nobody will look at any more."""


class Replicas(InOrder):
    """A replica for each worker, kept in step by messages."""

    def __init__(self, test: Test) -> None:
        super().__init__(test)
        self.owner = [worker for worker, program in enumerate(test.programs) for step in program if step.write >= 0]
        self.place = [write.location for write in test.writes]
        self.copies = test.size + bool(test.finals)
        self.plain = all(step.op in _PLAIN for program in test.programs for step in program)
        self.last_look = [_last_look(program) for program in test.programs]
        self.of_worker = [mask_of(w for w, owner in enumerate(self.owner) if owner == p) for p in range(test.size)]
        self.of_location = [
            mask_of(w for w, at in enumerate(self.place) if at == x) for x in range(len(test.locations))
        ]

    @abstractmethod
    def waits_for(self, arrived: int, write: Instruction, worker: int) -> int:
        """Return the mask of the writes that have to arrive before this one, out of those in its own replica."""

    def owes(self, arrived: int, worker: int) -> int:
        """Return the mask of the writes that a fence sees to: here the worker's own."""
        return arrived & self.of_worker[worker]

    def is_out(self, memory: Copies, worker: int) -> bool:
        """Say whether all that a worker owes has arrived everywhere."""
        owed = self.owes(memory.arrived[worker], worker)
        return all(not owed & ~arrived or memory.deaf >> r & 1 for r, arrived in enumerate(memory.arrived))

    def initial(self) -> Copies:
        """Return replicas with the initial values."""
        shown = (-1,) * len(self.test.locations)
        deaf = mask_of(worker for worker, look in enumerate(self.last_look) if look is None)
        return Copies((0,) * self.copies, (shown,) * self.copies, (None,) * len(self.place), deaf)

    def perform(self, memory: Copies, worker: int, step: Instruction, value: int | None) -> Moves:
        """Do an instruction to the own replica, or to all of them if it is atomic."""
        for result, after in self.done(memory, worker, step, value):
            last = step is self.last_look[worker]
            yield result, after._replace(deaf=after.deaf | 1 << worker) if last else after

    def done(self, memory: Copies, worker: int, step: Instruction, value: int | None) -> Moves:
        """Return how an instruction can be done now, and the memory after it."""
        if step.op == "read":
            return ((self.value(memory, worker, step.location), memory),)
        if step.op == "write":
            assert value is not None
            return ((None, self.written(memory, worker, step, value, (worker,))),)
        if step.op != "lock" and not self.is_out(memory, worker):
            return ()
        if step.op not in ATOMIC:
            return ((None, memory),)
        old = self.value(memory, worker, step.location)
        if value is None:
            return ((old, memory),)
        return ((old, self.written(memory, worker, step, step.change(old, value), range(self.copies))),)

    def value(self, memory: Copies, replica: int, location: int) -> int:
        """Return what a replica shows of a location."""
        sent = memory.sent[number] if (number := memory.shown[replica][location]) >= 0 else None
        return self.test.initial[location] if sent is None else sent[1]

    def written(self, memory: Copies, worker: int, step: Instruction, value: int, replicas: Iterable[int]) -> Copies:
        """Return the memory with a new write that has arrived in some replicas."""
        waits = self.waits_for(memory.arrived[worker], step, worker)
        after = memory._replace(sent=replaced(memory.sent, step.write, (waits, value)))
        for replica in replicas:
            after = self.delivered(after, replica, step.write)
        return after

    def delivered(self, memory: Copies, replica: int, write: int) -> Copies:
        """Return the memory with a write arrived in a replica: it shows it, whatever it showed before."""
        shown = replaced(memory.shown[replica], self.place[write], write)
        arrived = replaced(memory.arrived, replica, memory.arrived[replica] | 1 << write)
        return memory._replace(arrived=arrived, shown=replaced(memory.shown, replica, shown))

    def meet(self, memory: Copies) -> Iterable[Copies]:
        """Let them pass when every write has arrived everywhere."""
        return (memory,) if len(set(memory.arrived)) == 1 else ()

    def background(self, memory: Copies) -> Iterable[tuple[Event, Copies]]:
        """Let a message arrive."""
        for write, sent in enumerate(memory.sent):
            if sent is not None:
                for replica, arrived in enumerate(memory.arrived):
                    if not (arrived >> write & 1 or sent[0] & ~arrived or self.is_idle(memory, replica)):
                        yield Event(replica, (write, sent[1])), self.delivered(memory, replica, write)

    def is_idle(self, memory: Copies, replica: int) -> bool:
        """Say whether it makes no difference what arrives in a replica now."""
        if replica < self.test.size:
            return bool(memory.deaf >> replica & 1)
        return self.plain and None in memory.sent

    def rests(self, memory: Copies) -> bool:
        """Say whether the last replica, which is asked for the locations, has every write."""
        sent = mask_of(write for write, message in enumerate(memory.sent) if message is not None)
        return self.copies == self.test.size or memory.arrived[-1] == sent

    def finals(self, memory: Copies) -> Iterable[tuple[int, ...]]:
        """Return what the last replica shows."""
        return (tuple(self.value(memory, -1, location) for location in range(len(self.test.locations))),)

    def explain(self, event: Event) -> str:
        """Say which message arrives."""
        if isinstance(event.what, Instruction):
            return event.what.text
        write, value = event.what
        return f"receives {self.test.locations[self.place[write]]} = {value} from P{self.owner[write]}"

    def show(self, memory: Copies) -> Sequence[str]:
        """Return the replicas in words."""
        names = [f"P{worker}" for worker in range(self.test.size)] + ["parent"]
        values = ([self.value(memory, r, x) for x in range(len(self.test.locations))] for r in range(self.copies))
        return [f"replica of {names[replica]}: {self.cells(cells)}" for replica, cells in enumerate(values)]


def _last_look(program: Sequence[Instruction]) -> Instruction | None:
    """Return the last instruction of a worker that depends on its replica."""
    return next((step for step in reversed(program) if step.op not in _BLIND), None)


def mask_of(writes: Iterable[int]) -> int:
    """Return numbers as a mask."""
    mask = 0
    for write in writes:
        mask |= 1 << write
    return mask
