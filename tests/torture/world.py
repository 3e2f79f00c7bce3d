"""What the workers of a crew share: the arrays under test, and a board that is none of them.

A row counts, three times over, how many updates it has seen::

    0 count    1 -count    2 3 * count    3 token of who is inside, or 0
    4 the count before the update that goes on    5 + lane: the lane's last update

So a row that was left half-way tells on itself, who left it, and what it was before.  The
board, in plain shared memory, says who is meant to be alive; no lock guards it, every word
has one writer.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Any, Final

import numpy as np

import pydsm
from tests.torture.journal import Journal, memory_file

__all__ = [
    "ARRAYS",
    "COARSE",
    "LANES",
    "LEFT",
    "NAMED",
    "PLAIN",
    "RIGHT",
    "ROWS",
    "UNDO",
    "UNDONE",
    "Board",
    "Row",
    "World",
    "array_of",
    "now",
    "row_id",
    "row_of",
]

LANES: Final = 16
ROWS: Final = 8
PLAIN, COARSE, UNDO, LEFT, RIGHT, NAMED = range(6)
ARRAYS: Final = ("plain", "coarse", "undo", "left", "right", "named")
UNDONE: Final = frozenset({UNDO, LEFT, RIGHT})
"""Arrays whose regions are always entered with ``undo=True``."""
LOCKS: Final = ("first", "second")
COARSE_STRIPES: Final = 2


def now() -> int:
    """Return nanoseconds on the clock that all processes share."""
    return time.monotonic_ns()


def row_id(array: int, row: int) -> int:
    return array << 8 | row


def array_of(identity: int) -> int:
    return identity >> 8


def row_of(identity: int) -> int:
    return identity & 255


class Row:
    """Words of a row."""

    COUNT: Final = 0
    NEGATIVE: Final = 1
    TRIPLE: Final = 2
    OWNER: Final = 3
    BEFORE: Final = 4
    LAST: Final = 5
    WORDS: Final = LAST + LANES


class Board:
    """One line for each lane: who runs in it, and since when it is to be dead."""

    PID: Final = 0
    FIRST: Final = 1  # number of the first update of the worker that runs now
    CONDEMNED: Final = 2  # when the driver killed it, or 0
    BEAT: Final = 3  # when it last began something, or 0
    OPERATIONS: Final = 4
    AIMED: Final = 5  # when it is to die by its own clock, or 0
    SPARED: Final = 6  # until when it is spared, because it is to die by its own hand

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * 8 * (LANES + 1))
        self.words = np.frombuffer(self._memory, np.int64).reshape(LANES + 1, 8)

    @property
    def is_over(self) -> bool:
        """Whether the workers are to return."""
        return bool(self.words[LANES, 0])

    def finish(self) -> None:
        self.words[LANES, 0] = 1

    def is_dead(self, token: int) -> bool:
        """Say whether the worker that left this token in a row is meant to be dead."""
        lane, seq = token & 255, token >> 8
        condemned = self._is_condemned(lane)  # before `FIRST`: the driver writes them in the other order
        return condemned or seq < self.words[lane, self.FIRST]

    def runs(self, pid: int) -> bool:
        """Say whether a worker that is not meant to be dead has this pid."""
        return not all(map(self._is_condemned, np.flatnonzero(self.words[:LANES, self.PID] == pid)))

    def _is_condemned(self, lane: int) -> bool:
        return any(0 < when <= now() for when in self.words[lane, [self.CONDEMNED, self.AIMED]].tolist())


class World:
    """The arrays of one namespace, the board and the journals."""

    def __init__(self, size: int = 1, **options: Any) -> None:
        self.team = pydsm.Team(size, **options)
        self.namespace = self.team.namespace
        for index, name in enumerate(ARRAYS):
            self.team.array(
                name,
                (ROWS if index != NAMED else len(LOCKS), Row.WORDS),
                np.int64,
                stripes=COARSE_STRIPES if index == COARSE else None,
                access="guarded" if index == LEFT else "open",
            )
        for name in LOCKS:
            self.team.lock(name)
        self.board = Board()
        self.journals = [Journal(f"lane-{lane}") for lane in range(LANES)]
        self.complaints = memory_file("complaints")

    def complain(self, text: str) -> None:
        """Append what should not have happened, in one write."""
        os.write(self.complaints, text.encode() + b"\0")

    def complaints_so_far(self) -> list[str]:
        size = os.fstat(self.complaints).st_size
        return [text for text in os.pread(self.complaints, size, 0).decode(errors="replace").split("\0") if text]

    def close(self) -> None:
        self.team.terminate()
        for journal in self.journals:
            journal.close()
        os.close(self.complaints)
