"""Copies in bulk between two nodes in one process, messages carried by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pydsm.mpi import bulk
from pydsm.mpi.buffers import Buffers
from pydsm.mpi.client import Client
from pydsm.mpi.messages import Request
from pydsm.mpi.pieces import HEAD, Piece, Selection, _read, count
from pydsm.mpi.values import Values
from tests.mpi.test_homes import ROWS, FakeWorld, Side, sides

__all__ = ["sides"]
DTYPE = np.dtype(np.int64)


class Wire(FakeWorld):
    """Keeps what the worker of a node sends, until it is carried."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers = Buffers(1 << 10)

    def send_with(self, rank: int, tag: int, message: Any, memory: Any) -> None:
        assert memory is None
        self.sent.append(message)

    def settle(self) -> None:
        pass


class Hands:
    """A worker's client, whose messages are carried home one at a time."""

    def __init__(self, home: Side, away: Side) -> None:
        self.home, self.wire = home, Wire()
        self.before_an_answer_comes: Callable[[], list[Request]] = list
        self.later: list[Request] = []
        self.client = Client(self.wire, away.node, 1, 2, self.step)  # type: ignore[arg-type]

    def step(self, eager: float = 0) -> bool:
        """Carry one message, and the answer back."""
        if self.later and not self.wire.sent:
            answer = self.home.ask(self.later.pop(0))
        elif self.wire.sent:
            answer = self.home.ask(self.wire.sent.pop(0))
            self.later += self.before_an_answer_comes()
        else:
            return False
        if answer is not None:
            self.client.deliver(answer)
        return True


def test_every_slice_means_what_numpy_says() -> None:
    """Rows of slices of 7 rows, with every start, stop and step there is, in pieces of every home."""
    numbers = np.arange(7)
    ends, steps = (None, *range(-9, 10)), (None, *(step for step in range(-9, 10) if step))
    for start, stop, step in itertools.product(ends, ends, steps):
        key = slice(start, stop, step)
        found = _read(key, 7, "A")
        assert found is not None
        ascending, order, _ = found
        assert isinstance(ascending, slice)
        assert (ascending.start, ascending.stop) == (0, 0) or 0 <= ascending.start < ascending.stop
        assert count(ascending) == len(numbers[ascending]) == len(numbers[key])
        got = numbers[ascending] if order is None else numbers[ascending][order]
        assert got.tolist() == numbers[key].tolist(), key


def rows(first: int, stop: int) -> Selection:
    return Selection((stop - first,), (), 1, 1, slice(first, stop, 1))


def test_what_a_sibling_tells_while_an_answer_is_on_its_way_is_not_missed(sides: tuple[Side, Side]) -> None:
    home, away = sides
    hands = Hands(home, away)
    away.A[1] = 7  # the worker's own, told by nobody yet
    hands.before_an_answer_comes = away.publish
    found = bulk.get(hands.client, away.replica, rows(0, ROWS // 2), DTYPE)
    assert found.tolist() == [0, 7, 0, 0]


def test_what_nobody_has_told_goes_over_the_answer_and_nothing_else_does(sides: tuple[Side, Side]) -> None:
    home, away = sides
    home.A[:4] = 5
    home.publish()
    away.A[2] = 7
    found = bulk.get(Hands(home, away).client, away.replica, rows(0, 4), DTYPE)
    assert found.tolist() == [5, 5, 7, 5]
    assert away.A[:4].tolist() == [0, 0, 7, 0]


def test_an_answer_from_before_a_put_does_not_undo_it(sides: tuple[Side, Side]) -> None:
    home, away = sides
    home.A[1] = 6
    home.publish()
    early = home.ask(away.wish(0))
    values = Values(np.array([9]), DTYPE)
    bulk.put(Hands(home, away).client, away.replica, rows(1, 2), values)
    assert home.A[1] == 9
    assert away.merge(0, early) == [(77, [1])]
    assert away.A[1] == 9
    assert away.publish() == []
    assert home.publish() == []


def test_what_is_put_is_not_sent_back_and_others_are_told_of_it(sides: tuple[Side, Side]) -> None:
    home, away = sides
    known = home.replica.twins.version(1)
    bulk.put(Hands(home, away).client, away.replica, rows(0, 4), Values(np.arange(1, 5), DTYPE))
    assert home.A[:4].tolist() == away.A[:4].tolist() == [1, 2, 3, 4]
    assert home.replica.twins.version(1) == known + 1
    answer = home.ask(away.wish(0, {1: 1}))
    assert answer is not None
    assert answer.content == []


def test_a_store_is_not_due_before_what_was_told_before_it(sides: tuple[Side, Side]) -> None:
    home, away = sides
    away.A[1] = 3
    (push,) = away.publish()
    hands = Hands(home, away)
    hands.later.append(push)
    bulk.put(hands.client, away.replica, rows(1, 2), Values(np.array([4]), DTYPE))
    assert home.A[1] == away.A[1] == 4


@pytest.mark.parametrize("which", [slice(1, 2 << 16, 1), slice(1, 30, 3), np.array([2, 5, 6])])
def test_a_piece_is_written_down_as_a_diff_of_its_size(which: Any) -> None:
    width = 1 if isinstance(which, slice) and which.step == 1 else 4
    piece = Piece(width, which)
    diff = np.zeros(piece.diff_size(8), np.uint8)
    sent = np.arange(piece.length * width)
    place = 0

    def read(content: Any) -> None:
        nonlocal place
        content[:] = sent.view(np.uint8)[place : place + len(content)]
        place += len(content)

    piece.write_diff(8, read, diff)
    memory, at = np.full(4 << 17, -1), 0
    while at < len(diff):
        first, count = int(diff[at : at + 8].view("<u8")[0]), int(diff[at + 8 : at + HEAD].view("<u4")[0])
        memory[first : first + count] = diff[at + HEAD : at + HEAD + 8 * count].view(np.int64)
        at += HEAD + 8 * count
    assert np.array_equal(piece.of(memory).reshape(-1), sent)
    assert (memory >= 0).sum() == len(sent)
    assert np.array_equal(Piece.read(piece.wire()).of(memory).reshape(-1), sent)
