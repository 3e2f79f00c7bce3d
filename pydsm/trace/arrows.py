"""Which event had to happen before which: the arrows of a timeline.

These are the edges of Lamport's relation between workers (*Time, clocks, and the ordering of
events in a distributed system*, 1978) that the memory model names: from a release to the next
acquire of the same stripe, from the last arrival at a barrier to the departures, from an
atomic operation to the next one on the element, from the start of a run to its workers and
from their ends to its join.

They are read off the clock, which all workers share.  For locks and barriers that is exact: a
hold is taken down after the lock words are taken and before they are given back, so holds
that exclude each other never overlap.  For atomic operations it is not: two that overlap in
time may have been done in either order, and then there is no arrow.  Operations on many
elements have none either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pydsm.trace.events import Event, Part, Run

__all__ = ["Arrow", "find_arrows"]


class Arrow(NamedTuple):
    """What happened before what: positions of two events, and the two moments."""

    kind: str
    source: int
    target: int
    begin: int
    end: int


def find_arrows(events: Sequence[Event], runs: Sequence[Run]) -> list[Arrow]:
    """Return the arrows between workers, in the order of their ends."""
    locks: dict[tuple[int, str], list[_Step]] = defaultdict(list)
    atomics: dict[tuple[int, str, int], list[int]] = defaultdict(list)
    barriers: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, event in enumerate(events):
        match event.kind:
            case "lock" if event.outcome != "gave up":
                for part in event.parts:
                    locks[event.run, part.array] += _steps(index, event, part, _block(runs, event, part))
            case "barrier":
                barriers[event.run, event.rank].append(index)
            case "atomic" | "wait_until" if event.elements[1] - event.elements[0] == 1 and not event.outcome:
                atomics[event.run, event.parts[0].array, event.elements[0]].append(index)
    found = [*_of_runs(events), *_of_barriers(events, barriers)]
    before: dict[int, set[int]] = defaultdict(set)
    for steps in locks.values():
        for source, target in _of_stripes(events, steps):
            before[target].add(source)
    for target, sources in before.items():
        found += _latest(events, sources, target)
    for indices in atomics.values():
        found += _of_element(events, indices)
    return sorted(found, key=lambda arrow: (arrow.end, arrow.begin, arrow.source))


def _block(runs: Sequence[Run], event: Event, part: Part) -> int:
    info = runs[event.run].arrays.get(part.array)
    return 1 if info is None else info.block


# -- locks -----------------------------------------------------------------------


class _Step(NamedTuple):
    """Stripes taken, or given back: in the order of time, giving first."""

    time: int
    takes: bool
    event: int
    stripes: tuple[tuple[int, int], ...]
    shared: bool


def _steps(index: int, event: Event, part: Part, block: int) -> list[_Step]:
    stripes = tuple((start // block, (stop - 1) // block + 1) for start, stop in part.rows) or ((0, 1),)
    taken = _Step(event.had, True, index, stripes, part.shared)
    if event.outcome == "unfinished":  # never given back: whoever comes next takes it from the dead
        return [taken]
    return [taken, _Step(event.end, False, index, stripes, part.shared)]


def _of_stripes(events: Sequence[Event], steps: list[_Step]) -> Iterator[tuple[int, int]]:
    """Yield what each hold of one array comes after: an exclusive one after all before it, a shared one after such."""
    bounds = np.unique([bound for step in steps for span in step.stripes for bound in span])
    cells = {int(bound): cell for cell, bound in enumerate(bounds)}
    ranks = {rank: row for row, rank in enumerate(sorted({events[step.event].rank for step in steps}))}
    last = np.full(len(bounds), -1)  # who gave each stripe back from an exclusive hold
    readers = np.full((len(ranks), len(bounds)), -1)  # and from shared holds since then
    for step in sorted(steps, key=lambda step: step[:3]):
        row = ranks[events[step.event].rank]
        before: set[int] = set()
        for start, stop in step.stripes:
            span = slice(cells[start], cells[stop])
            if step.takes:
                before.update(last[span].tolist())
                if not step.shared:
                    before.update(readers[:, span].ravel().tolist())
            elif step.shared:
                readers[row, span] = step.event
            else:
                last[span], readers[:, span] = step.event, -1
        yield from ((source, step.event) for source in before if source >= 0)


def _latest(events: Sequence[Event], before: set[int], target: int) -> Iterator[Arrow]:
    """Yield one arrow from each other worker: from the last that it gave back."""
    latest: dict[tuple[int, int, int], int] = {}
    for source in before:
        lane = events[source].lane
        if lane not in latest or events[latest[lane]].end < events[source].end:
            latest[lane] = source
    for lane, source in latest.items():
        if lane != events[target].lane:
            yield Arrow("lock", source, target, events[source].end, events[target].had)


# -- atomic operations, barriers, runs ---------------------------------------------


def _of_element(events: Sequence[Event], indices: list[int]) -> Iterator[Arrow]:
    last: int | None = None
    for index in sorted(indices, key=lambda index: _looked(events[index])):
        event = events[index]
        if last is not None and events[last].lane != event.lane:
            source = events[last]
            if source.end <= event.begin:
                yield Arrow("atomic", last, index, source.end, _looked(event))
            elif event.kind == "wait_until":  # it woke up, perhaps before the other had taken down its end
                yield Arrow("atomic", last, index, source.begin, event.end)
        if event.writes:
            last = index


def _looked(event: Event) -> int:
    return event.end if event.kind == "wait_until" else event.begin


def _of_barriers(events: Sequence[Event], barriers: dict[tuple[int, int], list[int]]) -> Iterator[Arrow]:
    """Yield an arrow from the last who came to each other: the n-th barrier of all workers is the same one."""
    meetings: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (run, _), indices in barriers.items():
        for turn, index in enumerate(indices):
            if not events[index].outcome:
                meetings[run, turn].append(index)
    for indices in meetings.values():
        last = max(indices, key=lambda index: events[index].begin)
        for index in indices:
            if index != last:
                yield Arrow("barrier", last, index, events[last].begin, events[index].had)


def _of_runs(events: Sequence[Event]) -> Iterator[Arrow]:
    programs = {event.run: index for index, event in enumerate(events) if event.kind == "program"}
    for index, event in enumerate(events):
        if event.kind == "run" and event.run in programs:
            program = programs[event.run]
            yield Arrow("start", program, index, events[program].begin, event.begin)
            if event.outcome != "unfinished":
                yield Arrow("join", index, program, event.end, events[program].end)
