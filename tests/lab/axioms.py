"""Oracles: the models by their definitions, not as machines, for programs of plain accesses and fences.

An execution says which write each read sees (`rf`) and in which order the writes to each location happen
(`co`).  All are enumerated, and an outcome is allowed if some execution that ends with it keeps the axioms.

`hardware`: Alglave, Maranget, Sarkar and Sewell, *Fences in weak memory models* (2010): uniproc (each
location by itself is coherent) and one acyclic order of preserved program order, fences, reads-from
between workers, `co` and from-reads.  `views`: the definitions of causal, PRAM and slow memory: each worker has
an order of its own accesses and all writes, in which each read sees the latest write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations, product
from typing import Any

from pydsm.lab import Outcome, Test
from pydsm.lab.program import Instruction

__all__ = ["HARDWARE", "VIEWS"]

Event = tuple[int, int]
"""Worker and place in its program; initial writes have the worker -1 and their location as place."""
Pairs = set[tuple[Event, Event]]


class Execution:
    """One choice of `rf` and `co` for a test."""

    def __init__(self, test: Test, rf: dict[Event, Event], co: dict[int, tuple[Event, ...]]) -> None:
        self.test, self.rf, self.co = test, rf, co
        self.events = [event for event in _events(test) if _step(test, event).op != "fence"]

    def step(self, event: Event) -> Instruction:
        return _step(self.test, event)

    def location(self, event: Event) -> int:
        return event[1] if event[0] < 0 else self.step(event).location

    def reads(self, event: Event) -> bool:
        return event[0] >= 0 and self.step(event).op == "read"

    def po(self) -> Pairs:
        return {(a, b) for a in self.events for b in self.events if a[0] == b[0] and a[1] < b[1]}

    def co_pairs(self) -> Pairs:
        return {(a, b) for order in self.co.values() for i, a in enumerate(order) for b in order[i + 1 :]}

    def fr(self) -> Pairs:
        return {(read, b) for read, write in self.rf.items() for a, b in self.co_pairs() if a == write}

    def rf_pairs(self) -> Pairs:
        return {(write, read) for read, write in self.rf.items()}

    def fenced(self) -> Pairs:
        fences = [event for event in _events(self.test) if self.step(event).op == "fence"]
        return {(a, b) for a, b in self.po() if any(f[0] == a[0] and a[1] < f[1] < b[1] for f in fences)}

    def data(self) -> Pairs:
        """Return pairs of a read and a write that uses its register."""
        found = set()
        for a, b in self.po():
            value = self.step(b).value
            if self.reads(a) and value is not None and self.step(a).register in value.registers:
                found.add((a, b))
        return found

    def values(self) -> dict[Event, int]:
        """Return what each write wrote; to be asked only when nothing comes out of thin air."""

        @cache
        def value(write: Event) -> int:
            if write[0] < 0:
                return self.test.initial[write[1]]
            total = self.step(write).value
            assert total is not None
            sources = {self.step(read).register: read for read, used in self.data() if used == write}
            return total.constant + sum(value(self.rf[sources[register]]) for register in total.registers)

        return {write: value(write) for order in self.co.values() for write in order}

    def outcome(self) -> Outcome:
        values = self.values()
        registers = {self.step(read).register: values[write] for read, write in self.rf.items()}
        finals = [values[self.co[location][-1]] for location in self.test.finals]
        return self.test.outcome([registers[number] for number in sorted(registers)] + finals)


def _events(test: Test) -> list[Event]:
    return [(worker, place) for worker, program in enumerate(test.programs) for place in range(len(program))]


def _step(test: Test, event: Event) -> Instruction:
    return test.programs[event[0]][event[1]]


def _executions(test: Test) -> Iterator[Execution]:
    events = _events(test)
    reads = [event for event in events if _step(test, event).op == "read"]
    writes = {
        location: [
            event for event in events if _step(test, event).op == "write" and _step(test, event).location == location
        ]
        for location in range(len(test.locations))
    }
    sources = [[(-1, _step(test, read).location), *writes[_step(test, read).location]] for read in reads]
    orders = [[((-1, location), *order) for order in permutations(found)] for location, found in writes.items()]
    for chosen in product(*sources):
        for order in product(*orders):
            yield Execution(test, dict(zip(reads, chosen, strict=True)), dict(enumerate(order)))


def _acyclic(pairs: Pairs) -> bool:
    left = set(pairs)
    while left:
        targets = {b for _, b in left}
        kept = {(a, b) for a, b in left if a in targets}
        if len(kept) == len(left):
            return False
        left = kept
    return True


def _closure(pairs: Pairs) -> Pairs:
    found = set(pairs)
    while new := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= new
    return found


# -- SC, TSO, PSO, RMO -------------------------------------------------------------


def _hardware(preserved: Callable[[Execution], Pairs], *, hazard: bool = False) -> Callable[[Test], set[Outcome]]:
    def outcomes(test: Test) -> set[Outcome]:
        found = set()
        for execution in _executions(test):
            rf, co, fr = execution.rf_pairs(), execution.co_pairs(), execution.fr()
            same = {(a, b) for a, b in execution.po() if execution.location(a) == execution.location(b)}
            if hazard:
                same -= {(a, b) for a, b in same if execution.reads(a) and execution.reads(b)}
            outside = {(a, b) for a, b in rf if a[0] != b[0]}
            order = preserved(execution) | execution.fenced() | outside | co | fr
            if _acyclic(same | rf | co | fr) and _acyclic(order) and _acyclic(execution.data() | rf):
                found.add(execution.outcome())
        return found

    return outcomes


def _tso(execution: Execution) -> Pairs:
    return {(a, b) for a, b in execution.po() if execution.reads(a) or not execution.reads(b)}


def _pso(execution: Execution) -> Pairs:
    return {(a, b) for a, b in execution.po() if execution.reads(a)}


def _rmo9(execution: Execution) -> Pairs:
    """Dependencies, also through what a worker wrote and read again."""
    inside = {(a, b) for a, b in execution.rf_pairs() if a[0] == b[0]}
    return {(a, b) for a, b in _closure(execution.data() | inside) if execution.reads(a)}


def _rmo(execution: Execution) -> Pairs:
    reads = {(a, b) for a, b in execution.po() if execution.reads(a) and execution.reads(b)}
    return _rmo9(execution) | {(a, b) for a, b in reads if execution.location(a) == execution.location(b)}


HARDWARE = {
    "sc": _hardware(Execution.po),
    "tso": _hardware(_tso),
    "pso": _hardware(_pso),
    "rmo": _hardware(_rmo),
    "rmo9": _hardware(_rmo9, hazard=True),
}


# -- causal, PRAM, slow ------------------------------------------------------------


def _views(keeps: Callable[[Execution], Pairs]) -> Callable[[Test], set[Outcome]]:
    def outcomes(test: Test) -> set[Outcome]:
        found = set()
        for execution in _executions(test):
            ordered = keeps(execution)
            if not _acyclic(execution.po() | execution.rf_pairs()):
                continue  # a machine sends before it receives
            writes = [event for event in execution.events if not execution.reads(event)]
            views = [
                (worker, writes + [e for e in execution.events if e[0] == worker and execution.reads(e)])
                for worker in range(test.size)
            ]
            # The parent's view has all writes and ends as `co` does.
            if all(_has_view(execution, ordered, worker, events) for worker, events in views) and any(
                _ends(execution, order) for order in _orders(writes, ordered)
            ):
                found.add(execution.outcome())
        return found

    return outcomes


def _has_view(execution: Execution, ordered: Pairs, worker: int, events: list[Event]) -> bool:
    own = {(a, b) for a, b in execution.po() if a[0] == worker}
    return any(_is_legal(execution, order) for order in _orders(events, ordered | own))


def _orders(events: list[Event], ordered: Pairs) -> Iterator[tuple[Event, ...]]:
    for order in permutations(events):
        place = {event: number for number, event in enumerate(order)}
        if all(place[a] < place[b] for a, b in ordered if a in place and b in place):
            yield order


def _is_legal(execution: Execution, order: tuple[Event, ...]) -> bool:
    latest: dict[int, Event] = {}
    for event in order:
        location = execution.location(event)
        if not execution.reads(event):
            latest[location] = event
        elif execution.rf[event] != latest.get(location, (-1, location)):
            return False
    return True


def _ends(execution: Execution, order: tuple[Event, ...]) -> bool:
    latest: dict[int, Any] = {location: (-1, location) for location in execution.co}
    latest.update({execution.location(event): event for event in order})
    return all(writes[-1] == latest[location] for location, writes in execution.co.items())


def _causal(execution: Execution) -> Pairs:
    return _closure(execution.po() | execution.rf_pairs())


def _slow(execution: Execution) -> Pairs:
    return {(a, b) for a, b in execution.po() if execution.location(a) == execution.location(b)}


VIEWS = {"causal": _views(_causal), "pram": _views(Execution.po), "slow": _views(_slow)}
