from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pydsm.mpi.node import parts_of
from pydsm.native import Lines, Twins, lines_for

STRIPES = 2
UNITS = 4  # in a stripe


class Side:
    """One of two nodes, of which node 0 is home of everything."""

    def __init__(self, unit: int, node: int) -> None:
        size = STRIPES * UNITS * unit - unit  # the last stripe is short
        self.node = node
        self.data, self.twin = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        words = np.zeros(2 * STRIPES, np.uint64)
        self.lines = Lines(np.zeros(lines_for(2), np.uint64))
        self.twins = Twins(7, self.data, self.twin, words[:STRIPES], words[STRIPES:], unit, UNITS * unit)
        self.units = self.data.reshape(-1, unit)

    def tell(self) -> tuple[int, bytes]:
        parts = [(self.twins, first, stop) for first, stop in self.twins.changed(0, STRIPES)]
        return self.lines.tell(0, parts)  # type: ignore[arg-type]

    def note(self) -> None:
        self.lines.note(0, [(self.twins, 0, STRIPES)])

    def receive(self, content: bytes) -> None:
        for array_id, diff in parts_of(memoryview(content)):
            assert array_id == 7
            self.twins.receive(self.lines, 0, diff)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "note", "tell", "deliver", "ask", "merge"]),
        st.integers(0, STRIPES * UNITS - 2),
        st.integers(1, 255),
    ),
    max_size=60,
)


@settings(max_examples=250, deadline=None)
@given(unit=st.sampled_from([1, 2, 3, 4, 8, 12, 16]), steps=STEPS)
def test_owners_of_single_units_never_lose_a_write(unit: int, steps: list[tuple[str, int, int]]) -> None:
    """Even units are written at home and odd ones away, in whatever order messages and answers come."""
    home, away = Side(unit, 0), Side(unit, 1)
    wanted = np.zeros_like(home.units)
    pushes: list[tuple[int, bytes]] = []
    answers: list[tuple[int, bytes]] = []
    applied = 0

    def act(what: str, place: int, value: int) -> None:
        nonlocal applied
        if what == "write":
            (away if place % 2 else home).units[place] = wanted[place] = np.uint8(value)
        elif what == "note":
            home.note()
        elif what == "tell":
            number, content = away.tell()
            if number:
                pushes.append((number, content))
        elif what == "deliver" and pushes:
            applied, content = pushes.pop(0)
            home.receive(content)
        elif what == "ask":
            answers.append((applied, home.twins.collect(home.lines, 0, away.twins.wish(0, STRIPES))))
        elif what == "merge" and answers:
            had, block = answers.pop(place % len(answers))
            old = away.twins.merge(away.lines, 0, block, had)
            assert all(had < away.lines.sent(0) for _ in old)

    for step in steps:
        act(*step)
        assert (away.units[1::2] == wanted[1::2]).all(), "own writes stay"
        assert (home.units[::2] == wanted[::2]).all()
    for what in ["tell", *["deliver"] * (len(pushes) + 1), "note", *["merge"] * len(answers), "ask", "merge"]:
        act(what, 0, 0)
    assert (home.units == wanted).all()
    assert (away.units == wanted).all()
    assert away.twins.changed(0, STRIPES) == []
    assert [home.twins.version(stripe) for stripe in range(STRIPES)] == [
        away.twins.version(stripe) for stripe in range(STRIPES)
    ]


DTYPES = ["i1", "u2", "i4", "i8", "f4", "f8"]


@settings(max_examples=60, deadline=None)
@given(dtype=st.sampled_from(DTYPES), op=st.sampled_from(["add", "mul", "min", "max"]), seed=st.integers(0, 99))
def test_updates_are_numpys_on_both_sides(dtype: str, op: str, seed: int) -> None:
    unit = np.dtype(dtype).itemsize
    home, away = Side(unit, 0), Side(unit, 1)
    rng = np.random.default_rng(seed)
    mine: NDArray[np.generic] = away.data.view(dtype)
    mine[:] = rng.integers(0, 5, len(mine))  # nobody has been told of that: it goes with the first update
    wanted = np.array(mine)
    for _ in range(3):
        positions = rng.integers(0, len(mine), rng.integers(1, 12))
        values = rng.integers(0, 4, len(positions) if rng.random() < 0.7 else 1).astype(dtype)
        stripes = np.unique(positions // UNITS)
        {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[op].at(wanted, positions, values)
        number, content = away.twins.update(away.lines, 0, stripes, positions, values, op, True)
        assert number == away.lines.sent(0)
        home.receive(content)
        home.twins.update(home.lines, 0, stripes, positions, values, op, False)
    told = np.unique(np.concatenate([stripes * UNITS + place for place in range(UNITS)]))
    told = told[told < len(wanted)]
    assert (mine == wanted).all()
    assert (home.data.view(dtype)[told] == wanted[told]).all()
    assert home.twins.collect(home.lines, 0, away.twins.wish(0, STRIPES)) == b"", "a node is not sent what it told"


@pytest.mark.parametrize("dtype", ["i8", "f8"])
def test_an_update_does_not_hide_what_a_worker_at_home_did_to_the_element_and_nobody_noted(dtype: str) -> None:
    unit = np.dtype(dtype).itemsize
    home, away = Side(unit, 0), Side(unit, 1)
    one, stripes, ones = np.array([1]), np.array([0]), np.ones(1, dtype)
    home.data.view(dtype)[1] += 10  # atomically, by a worker that is about to note it
    _, content = away.twins.update(away.lines, 0, stripes, one, ones, "add", True)
    home.receive(content)
    home.twins.update(home.lines, 0, stripes, one, ones, "add", False)
    home.note()
    away.twins.merge(away.lines, 0, home.twins.collect(home.lines, 0, away.twins.wish(0, STRIPES)), 1)
    assert home.data.view(dtype)[1] == 11
    assert away.data.view(dtype)[1] == 11


def test_what_nobody_has_noted_is_not_shown() -> None:
    """Else it could be taken back, and no version would say so."""
    home, away = Side(8, 0), Side(8, 1)
    home.units[1] = 5
    home.note()
    home.units[0] = 1
    away.twins.merge(away.lines, 0, home.twins.collect(home.lines, 0, away.twins.wish(0, STRIPES)), 0)
    home.units[0] = 0
    home.note()
    assert (away.units == home.units).all()


def test_what_is_no_message_is_refused() -> None:
    side = Side(8, 0)
    with pytest.raises(ValueError, match="no diff of array 7"):
        side.twins.receive(side.lines, 0, b"\1" * 30)
    with pytest.raises(ValueError, match="no block of array 7"):
        side.twins.merge(side.lines, 0, bytes(17), 0)
    with pytest.raises(ValueError, match="no wish for stripes"):
        side.twins.collect(side.lines, 0, (0).to_bytes(8, "little") + (9).to_bytes(8, "little"))
    with pytest.raises(IndexError, match="stripes 1 to 9"):
        side.twins.changed(1, 9)
    with pytest.raises(IndexError, match="element 99"):
        side.twins.update(side.lines, 0, np.array([0]), np.array([99]), np.ones(1), "add", False)


def write_equal_halves(data: NDArray[np.uint64], stop: float) -> None:
    """Write elements whose halves are equal, each value once."""
    value = 1
    while time.monotonic() < stop:
        data[:] = np.uint64(value << 32 | value)
        value += 1


def test_what_is_told_while_somebody_writes_has_whole_elements() -> None:
    """Wherever a record begins in its message, an element is read in one piece."""
    count = 1 << 12
    data = np.frombuffer(mmap.mmap(-1, 8 * count), np.uint64)
    twin, words = np.zeros(8 * count, np.uint8), np.zeros(2, np.uint64)
    lines = Lines(np.zeros(lines_for(1), np.uint64))
    twins = Twins(7, data.view(np.uint8), twin, words[:1], words[1:], 8, 8 * count)
    writer = get_context("fork").Process(target=write_equal_halves, args=(data, time.monotonic() + 0.3))
    writer.start()
    try:
        told = 0
        while writer.is_alive():
            _, content = lines.tell(0, [(twins, 0, 1)])
            for _, diff in parts_of(memoryview(content)):
                told += 1
                for found in elements_of(diff):
                    assert ((found >> np.uint64(32)) == (found & np.uint64(0xFFFFFFFF))).all()
        assert told > 10
        found = twin.view(np.uint64)
        assert ((found >> np.uint64(32)) == (found & np.uint64(0xFFFFFFFF))).all()
    finally:
        writer.kill()
        writer.join()


def elements_of(diff: memoryview) -> Iterator[NDArray[np.uint64]]:
    """Yield the elements of each record of a diff."""
    at = 0
    while at < len(diff):
        count = int.from_bytes(diff[at + 8 : at + 16], sys.byteorder)
        at += 16
        yield np.frombuffer(diff[at : at + 8 * count], np.uint64)
        at += 8 * count


def test_elements_outside_of_an_array_are_neither_read_nor_laid_over() -> None:
    side = Side(8, 0)
    size = len(side.data)
    assert size % 8 == 0
    for call in (side.twins.read, side.twins.lay_over):
        call(0, np.zeros(size, np.uint8))
        call(size // 8, np.zeros(0, np.uint8))
        for first, length in (
            (-1, 8),
            (0, size + 8),
            (size // 8, 8),
            (1, size),
            (0, 7),
            (1 << 61, 8),
            ((1 << 63) - 1, 8),
        ):
            with pytest.raises(IndexError, match="not in array 7"):
                call(first, np.zeros(length, np.uint8))
