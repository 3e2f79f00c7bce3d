from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pydsm import native
from pydsm.core.layout import TEAM_WORDS, Slot
from pydsm.sync import deadlock
from pydsm.sync.slots import BARRIER, EXCLUSIVE, SlotTable, bits_of

graphs = st.dictionaries(st.integers(0, 7), st.integers(0, 255), min_size=8, max_size=8)


def reachable(graph: dict[int, int], start: int) -> set[int]:
    seen: set[int] = set()
    todo = [start]
    while todo:
        for following in bits_of(graph[todo.pop()]):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


@given(graphs)
def test_a_cycle_is_found_exactly_if_one_can_come_back(graph: dict[int, int]) -> None:
    cycle = deadlock.find_cycle(graph, 0)
    assert bool(cycle) == (0 in reachable(graph, 0))
    for slot, following in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        assert graph[slot] >> following & 1
    assert len(set(cycle)) == len(cycle)


def table() -> SlotTable:
    return SlotTable(native.Words(np.zeros(TEAM_WORDS, np.uint64)))


def waiting(slots: SlotTable, edges: dict[int, int], kind: int = EXCLUSIVE) -> None:
    for slot, blocker in edges.items():
        slots.begin_wait(slot, kind, 0)
        slots.block_on(slot, 1 << blocker)


def look_again(slots: SlotTable, edges: dict[int, int], times: int = 2) -> None:
    for slot, blocker in edges.items():
        for _ in range(times):
            slots.block_on(slot, 1 << blocker)


RING = {0: 1, 1: 2, 2: 0}


def test_a_cycle_is_proven_when_everybody_has_looked_again() -> None:
    slots = table()
    waiting(slots, RING)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    assert not suspicion.is_proven(slots)
    look_again(slots, RING)
    assert suspicion.is_proven(slots)
    assert suspicion.victim(slots) == 2


def test_one_look_more_may_be_of_the_past() -> None:
    slots = table()
    waiting(slots, RING)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    look_again(slots, RING, times=1)
    assert not suspicion.is_proven(slots)


def test_a_cycle_is_not_proven_while_one_has_not_looked_again() -> None:
    slots = table()
    waiting(slots, RING)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    look_again(slots, {0: 1, 2: 0})
    assert not suspicion.is_proven(slots)


def test_a_cycle_is_not_proven_if_one_wait_ended_and_another_began() -> None:
    slots = table()
    waiting(slots, RING)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    slots.end_wait(1)
    waiting(slots, {1: 2})
    look_again(slots, RING)
    look_again(slots, RING)
    assert not suspicion.is_proven(slots)


def test_a_cycle_is_not_proven_if_a_blocker_changed() -> None:
    slots = table()
    waiting(slots, RING)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    look_again(slots, {0: 1, 1: 3, 2: 0})
    assert not suspicion.is_proven(slots)


def test_no_wait_no_suspicion() -> None:
    slots = table()
    waiting(slots, {0: 1, 1: 2})
    assert deadlock.suspect(slots, 0) is None


def test_who_waits_for_a_lock_gives_up_before_who_waits_in_a_barrier() -> None:
    slots = table()
    waiting(slots, {0: 1})
    waiting(slots, {1: 0}, BARRIER)
    suspicion = deadlock.suspect(slots, 0)
    assert suspicion is not None
    assert suspicion.victim(slots) == 0
    assert slots.get(1, Slot.KIND) == BARRIER
