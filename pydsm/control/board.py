"""The board: what the workers of a controlled team share, one segment of 64-bit words.

====================  ============================================================
one word each         TURN (who runs), RANDOM, STEPS, DIGEST, RUNNABLE, WAITING ...
for each rank         a bell to sleep on, a priority, a pid, and a text
====================  ============================================================

Sets of workers are words with one bit for each rank.  Only who has the turn writes, except
`GONE`, which is the parent's, and a worker's own pid; so what is decided here is decided
by the seed and by what the workers did before, and never by who was faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.names import observe_name
from pydsm.ipc import segment, shm
from pydsm.native import Bell, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.sync.namespace import Namespace

__all__ = ["FROZEN", "MOST_WORKERS", "NOBODY", "Board", "Rank", "Word"]

MOST_WORKERS: Final = 62
NOBODY: Final = 0
FROZEN: Final = 1 << 32
"""What TURN says beside rank + 1: nobody is left to run; or nobody is to, because the run has failed."""

_WORD: Final = np.dtype(np.uint64)
_HEAD: Final = 32
_ROW: Final = 72
_TEXT: Final = 8  # words before the text of a row
_TEXT_BYTES: Final = 8 * (_ROW - _TEXT)


class Word:
    """Words at the head of the board."""

    TURN: Final = 0  # rank + 1 of who runs; size + 1: the parent, for a moment
    SEED: Final = 1  # of this run
    RANDOM: Final = 2  # state of the random numbers
    STEPS: Final = 3  # of this run
    DIGEST: Final = 4  # of all decisions of all runs
    RUNNABLE: Final = 5
    WAITING: Final = 6  # those whose last try failed, and that nothing has happened for since
    TIMED: Final = 7  # those of them whose waits may end by themselves
    LOCKING: Final = 8  # those of them who wait for a region or a lock
    EXPIRED: Final = 9  # whose wait is over because nobody else can move
    DOOMED: Final = 10  # who raises the DeadlockError
    GONE: Final = 11  # seen to be dead
    MOVED: Final = 12  # 1: somebody got on since all that wait tried for the last time
    STREAK: Final = 13  # rank + 1 << 32 | its steps in a row while others could run
    FLOOR: Final = 14  # the lowest priority given so far
    RUNS: Final = 15
    LOOSE: Final = 16  # those of the waiting whose process has other threads, which nobody schedules
    PATIENCE: Final = 17  # how often these were waited for in vain


class Rank:
    """Words of a rank's row."""

    BELL: Final = 0
    PRIORITY: Final = 1
    PID: Final = 2


class Board:
    """The board as one process has it mapped."""

    def __init__(self, table: NDArray[Any]) -> None:
        self.words = Words(table)
        self.size = (len(table) - _HEAD) // _ROW
        self._bytes = table.view(np.uint8)
        self.bells = [Bell(self.words, place(rank, Rank.BELL)) for rank in range(self.size)]

    @classmethod
    def private(cls, size: int) -> Board:
        """Return a board that nobody else has."""
        return cls(np.zeros(_HEAD + size * _ROW, _WORD))

    @classmethod
    def create(cls, namespace: Namespace, size: int) -> Board:
        """Make the board of a team."""
        name = observe_name(namespace.name, "schedule")
        return cls(segment.create(name, (_HEAD + size * _ROW,), _WORD, **namespace.permissions))

    @classmethod
    def attach(cls, namespace: str, *, shared: bool = False) -> Board:
        """Map the board of a team.

        Raises
        ------
        FileNotFoundError, SegmentError
        """
        return cls(segment.attach(observe_name(namespace, "schedule"), _WORD, shared=shared))

    @staticmethod
    def unlink(namespace: str) -> None:
        """Remove its name."""
        shm.unlink(observe_name(namespace, "schedule"))

    def write(self, rank: int, text: str) -> None:
        """Say something about a worker, for people."""
        line = text.encode()[: _TEXT_BYTES - 1]
        start = 8 * place(rank, _TEXT)
        self._bytes[start : start + len(line)] = np.frombuffer(line, np.uint8)
        self._bytes[start + len(line)] = 0

    def read(self, rank: int) -> str:
        """Return what was said last."""
        start = 8 * place(rank, _TEXT)
        return self._bytes[start : start + _TEXT_BYTES].tobytes().split(b"\0", 1)[0].decode(errors="ignore")


def place(rank: int, word: int) -> int:
    """Return the index of a word of a rank's row."""
    return _HEAD + rank * _ROW + word
