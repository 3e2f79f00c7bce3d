"""The clocks and the shadow memory against an oracle that remembers everything."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pydsm
from pydsm.core.diff import unit_of
from pydsm.races.layout import ArrayPlan
from pydsm.races.machine import READ, WRITE, Watcher, report_to, watch
from tests.effort import LONG
from tests.races.spying import Spy, spied

WORKERS = 3
ROWS = 4


@dataclass
class _Hold:
    """A hold as the observers are told of it."""

    array: Any
    array_id: int
    key: Any
    shared: bool = False
    fence: bool = False
    recover: bool = False
    name: str = "A"

    @property
    def rows(self) -> Any:
        return np.array([[self.key, self.key + 1]])

    @property
    def stripes(self) -> Any:
        return np.array([self.key])


@dataclass
class _Oracle:
    """Happens-before by vector clocks that count every event, and all accesses ever made."""

    clocks: list[list[int]] = field(default_factory=lambda: [[0] * WORKERS for _ in range(WORKERS)])
    locks: dict[Any, list[int]] = field(default_factory=dict)
    accesses: list[tuple[int, int, int, int]] = field(default_factory=list)  # worker, row, kind, its clock

    def step(self, worker: int) -> None:
        self.clocks[worker][worker] += 1

    def acquire(self, worker: int, lock: Any) -> None:
        known = self.locks.get(lock, [0] * WORKERS)
        self.clocks[worker] = list(map(max, self.clocks[worker], known))

    def release(self, worker: int, lock: Any) -> None:
        known = self.locks.get(lock, [0] * WORKERS)
        self.locks[lock] = list(map(max, self.clocks[worker], known))
        self.step(worker)

    def barrier(self) -> None:
        joined = [max(clocks[w] for clocks in self.clocks) for w in range(WORKERS)]
        self.clocks = [list(joined) for _ in range(WORKERS)]
        for worker in range(WORKERS):
            self.step(worker)

    def access(self, worker: int, row: int, kind: int) -> set[tuple[int, int]]:
        """Return with which workers' reads or writes it races."""
        self.step(worker)
        found = {
            (other, theirs)
            for other, place, theirs, clock in self.accesses
            if other != worker and place == row and WRITE in (kind, theirs) and clock > self.clocks[worker][other]
        }
        self.accesses.append((worker, row, kind, self.clocks[worker][worker]))
        return found


_workers = st.integers(0, WORKERS - 1)
_rows = st.integers(0, ROWS - 1)
_events = st.lists(
    st.one_of(
        st.tuples(st.just("read"), _workers, _rows),
        st.tuples(st.just("write"), _workers, _rows),
        st.tuples(st.just("region"), _workers, _rows),
        st.tuples(st.just("sharing"), _workers, _rows),
        st.tuples(st.just("barrier"), _workers, _rows),
    ),
    max_size=40,
)


@given(_events)
def test_what_is_found_is_what_happens_before_says(events: list[tuple[str, int, int]]) -> None:
    with spied(ROWS, int) as first:
        spies = [Spy(first.array, workers=WORKERS, me=0)]
        spies += [Spy(first.array, workers=WORKERS, me=me, shared=spies[0]) for me in range(1, WORKERS)]
        oracle = _Oracle()
        for what, worker, row in events:
            assert _native(spies, what, worker, row) == _expected(oracle, what, worker, row)
        watch(None, None)


def _native(spies: list[Spy], what: str, worker: int, row: int) -> set[tuple[int, int]]:
    spy = spies[worker]
    spy.clashes.clear()
    if what == "barrier":
        for one in spies:
            one.watcher.arriving()
        for one in spies:
            one.watcher.met()
        return set()
    spy.enter()
    if what in ("region", "sharing"):
        hold = _Hold(spy.array, spy.shadow.array_id, row, shared=what == "sharing")
        spy.watcher.acquired((hold,))
        _ = spy.array[row]
        if what == "region":
            spy.array[row] = 1
        spy.watcher.releasing((hold,), failed=False)
    elif what == "read":
        _ = spy.array[row]
    else:
        spy.array[row] = 1
    return {(clash[0], clash[1]) for _, clashes in spy.clashes for clash in clashes}


def _expected(oracle: _Oracle, what: str, worker: int, row: int) -> set[tuple[int, int]]:
    if what == "barrier":
        oracle.barrier()
        return set()
    if what in ("region", "sharing"):
        oracle.acquire(worker, (row, "exclusive"))
        if what == "region":
            oracle.acquire(worker, (row, "shared"))
        found = oracle.access(worker, row, READ)
        if what == "region":
            found |= oracle.access(worker, row, WRITE)
        oracle.release(worker, (row, "exclusive" if what == "region" else "shared"))
        return found
    return oracle.access(worker, row, READ if what == "read" else WRITE)


_keys = st.one_of(
    st.integers(-5, 4),
    st.slices(5),
    st.lists(st.integers(-5, 4), max_size=6),
    st.lists(st.booleans(), min_size=5, max_size=5).map(np.array),
    st.tuples(st.integers(-5, 4), st.integers(-7, 6)),
    st.tuples(st.slices(5), st.slices(7)),
    st.tuples(st.slices(5), st.integers(-7, 6)),
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 6)),
    st.tuples(st.just(...), st.slices(7)),
)


@pytest.mark.parametrize("shift", [0, 1, 3, 4])
def test_the_elements_of_a_key_are_those_that_numpy_takes(shift: int) -> None:
    with spied((5, 7), np.int32, shift=shift) as spy:

        @given(_keys)
        def check(key: Any) -> None:
            expected = np.zeros((5, 7), bool)
            expected[key] = True
            assert np.array_equal(spy.sees(lambda: spy.array.__setitem__(key, 1))[1], expected)
            reads = spy.sees(lambda: np.positive(spy.array[key]))[0]
            assert np.array_equal(reads, expected)

        check()


@pytest.mark.parametrize(("start", "stop"), [(0, 5000), (1, 4999), (1023, 2049), (1024, 2048), (4090, 5000), (7, 8)])
@pytest.mark.parametrize("shift", [0, 2, 4])
def test_slices_of_many_blocks_clash_with_each_of_their_elements_and_no_other(
    start: int, stop: int, shift: int
) -> None:
    with spied(5000, shift=shift) as spy:
        other = Spy(spy.array, workers=2, me=1, shift=shift, shared=spy)
        spy.enter()
        spy.array[start:stop] += 1
        places = {0, start - 1, start, start + 1, (start + stop) // 2, stop - 1, stop, 4999}
        for place in sorted(place for place in places if 0 <= place < 5000):
            other.enter()
            other.clashes.clear()
            other.array[place] = 1
            assert bool(other.clashes) == (start <= place < stop), place
        watch(None, None)


@pytest.mark.parametrize("shift", [0, 4])
def test_a_large_slice_finds_single_accesses(shift: int) -> None:
    with spied(5000, shift=shift) as spy:
        other = Spy(spy.array, workers=2, me=1, shift=shift, shared=spy)
        spy.enter()
        _ = spy.array[3001]
        other.enter()
        other.array[:3001] = 1
        other.array[3002:] = 1
        assert not other.clashes
        other.array[5:4990] = 1
        assert [clash[:4] for _, clashes in other.clashes for clash in clashes] == [(0, READ, 3001, 3001)]
        watch(None, None)


def test_clocks_of_all_workers_start_where_the_last_run_ended() -> None:
    base = np.array([5, 7], np.uint64)
    words = [np.zeros((2, 8), np.uint64), np.zeros((2, 4, 16), np.uint64), np.zeros((2, 2), np.uint64)]
    watcher = Watcher(1, 2, base, *words, np.zeros((1, 2, 2), np.uint64), predict=False)
    assert (watcher.now, watcher.heard_of(0)) == (8, 5)
    assert words[0][1, 0] == 8


def test_a_worker_that_runs_out_of_epochs_says_so() -> None:
    with spied(4) as spy:
        spy.start(0xFFFFFFFD)
        spy.enter()
        spy.array[1] = 1
        with pytest.raises(OverflowError, match="four thousand million"):
            spy.watcher.fencing(None, 0, None)
        watch(None, None)


def test_cells_are_shared_by_neighbours_only_in_large_arrays() -> None:
    assert ArrayPlan(4, 1_000_000, 512).shift == 0
    assert ArrayPlan(4, 100_000_000, 512).shift == 4
    assert [ArrayPlan(2, n << 20, 1).shift for n in (2, 4, 8, 16, 32)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [("f8", 8), ("c16", 8), ("c8", 4), ("S5", 5), ("f8,i4", 4), ("i1,i8", 1), ("3f4,f8", 4), ("c16,f8", 8), ("V7", 7)],
)
def test_a_unit_divides_every_field(dtype: str, unit: int) -> None:
    assert unit_of(np.dtype(dtype)) == unit


def test_of_two_accesses_at_the_same_time_at_least_one_sees_the_other() -> None:
    rounds = 20_000 if LONG else 300
    turns = np.frombuffer(mmap.mmap(-1, 4096), np.int64)  # what the detector knows nothing of

    def work(worker: Any) -> set[int]:
        A, me, seen = worker["A"], worker.rank, set()
        report_to(lambda shadow, kind, site, clashes: seen.update(clash[2] for clash in clashes))
        for turn in range(rounds):
            turns[8 * me] = turn + 1
            while turns[8 * (1 - me)] <= turn:
                os.sched_yield()
            A[turn] = 1
        return seen

    with pydsm.Team(2, check="happens-before") as team:
        team.array("A", rounds, int)
        assert set.union(*team.run(work)) == set(range(rounds))
