"""The table of participants: one slot for each thread that locks or waits.

A slot says, in shared memory, who its thread is and what it waits for.  Only the thread
itself writes it, except `PERMIT`, which says that a wake-up is under way: who sets it
from 0 to 1 posts the slot's semaphore, so a sleeper is posted once however many releases
it sleeps through.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pydsm.core.layout import MAX_SLOTS, SLOT, Participant, Slot, slot_word
from pydsm.native import Sleepers, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ALL_SLOTS",
    "BARRIER",
    "ELEMENT",
    "EXCLUSIVE",
    "JOIN",
    "LEFT",
    "RECOVERING",
    "SHARED",
    "SlotTable",
    "bits_of",
    "sleepers_of",
]

EXCLUSIVE: Final = 1
SHARED: Final = 2
BARRIER: Final = 3
JOIN: Final = 4
RECOVERING: Final = 5
ELEMENT: Final = 6
"""Kinds of waits.  A stripe that a recoverer has and waits for sharers of is abandoned if it dies."""

LEFT: Final = 1 << 63
"""Where a worker says which barrier it has come to: it will not come to any more."""

ALL_SLOTS: Final = (1 << MAX_SLOTS) - 1
"""One bit for each slot: what damaged words name beyond them is nobody."""

_BLOCKER_WORDS: Final = MAX_SLOTS // 64
_WORD: Final = (1 << 64) - 1


def bits_of(bits: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, ascending.

    Examples
    --------
    >>> list(bits_of(0b1010))
    [1, 3]
    """
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def sleepers_of(table: NDArray[Any]) -> Sleepers:
    """Return the slots of a team segment as native code reads them."""
    return Sleepers(
        table[slot_word(0, 0) :],
        size=SLOT,
        wait=Slot.WAIT,
        target=Slot.TARGET,
        kind=Slot.KIND,
        permit=Slot.PERMIT,
        exclusive=(EXCLUSIVE, RECOVERING),
    )


class SlotTable:
    """The slots of one namespace."""

    __slots__ = ("words",)

    def __init__(self, words: Words) -> None:
        self.words = words

    def get(self, slot: int, word: int) -> int:
        """Return a word of a slot."""
        return self.words.load(slot_word(slot, word))

    def set(self, slot: int, word: int, value: int) -> None:
        """Set a word of a slot."""
        self.words.store(slot_word(slot, word), value)

    def introduce(self, slot: int, rank: int | None) -> None:
        """Write down who runs in the slot (for people: nothing is decided by a pid)."""
        self.set(slot, Slot.PID, os.getpid() << 32 | threading.get_native_id() & 0xFFFFFFFF)
        self.set(slot, Slot.RANK, 0 if rank is None else rank + 1)
        self.set(slot, Slot.WAIT, 0)

    def vacate(self, slot: int) -> None:
        """Make the slot free."""
        self.set(slot, Slot.WAIT, 0)
        self.set(slot, Slot.PID, 0)
        self.set(slot, Slot.STATE, 0)

    def taken(self) -> list[int]:
        """Return the slots that somebody has, dead or alive."""
        return [slot for slot in range(MAX_SLOTS) if self.get(slot, Slot.STATE)]

    def has_left(self, rank: int) -> bool:
        """Say whether a worker has returned, or was seen to be dead; see `pydsm.sync.barrier`."""
        return self.get(rank, Slot.BARRIER) >= LEFT

    def who(self, slot: int) -> Participant:
        """Return who ran in the slot."""
        rank = self.get(slot, Slot.RANK)
        return Participant(slot, self.get(slot, Slot.PID) >> 32, rank - 1 if 0 < rank <= MAX_SLOTS else None)

    def name(self, slot: int) -> str:
        """Return who runs in the slot, for people."""
        return str(self.who(slot))

    def begin_wait(self, slot: int, kind: int, target: int, *, nested: bool = False) -> tuple[int, int] | None:
        """Publish that the slot's thread waits, and for what.

        Parameters
        ----------
        slot, kind, target : int
        nested : bool
            Whether it is in the middle of another wait; else what is published still was
            left by an interrupted one.

        Returns
        -------
        tuple, optional
            Kind and target of the wait that this one is in the middle of (a signal handler
            or a finalizer runs in it), for `end_wait`.
        """
        outer = None
        if self.get(slot, Slot.WAIT) and (nested or self.get(slot, Slot.KIND) in (BARRIER, JOIN)):
            outer = self.get(slot, Slot.KIND), self.get(slot, Slot.TARGET)
        waits = self.get(slot, Slot.WAITS) + 1
        self.set(slot, Slot.WAITS, waits)
        self.set(slot, Slot.TARGET, target)
        self.set(slot, Slot.KIND, kind)
        self.set(slot, Slot.CHECKED, 0)
        self.block_on(slot, 0)
        self.set(slot, Slot.WAIT, waits)
        return outer

    def end_wait(self, slot: int, outer: tuple[int, int] | None = None) -> None:
        """Publish that it goes on, with the wait that this one was in the middle of if there is one."""
        if self.get(slot, Slot.PID) >> 32 != os.getpid():
            return  # a signal's handler forked in the middle of the wait: the slot is the parent's
        self.set(slot, Slot.WAIT, 0)
        if outer is not None:
            self.begin_wait(slot, *outer)

    def block_on(self, slot: int, blockers: int) -> None:
        """Publish who was just seen to stand in the way, one bit for each slot."""
        for word in range(_BLOCKER_WORDS):
            self.words.store(slot_word(slot, Slot.BLOCKERS) + word, blockers >> 64 * word & _WORD)
        self.set(slot, Slot.CHECKED, self.get(slot, Slot.CHECKED) + 1)

    def blockers(self, slot: int) -> int:
        """Return whom the slot's thread waits for, or 0 if it does not wait."""
        if not self.get(slot, Slot.WAIT):
            return 0
        first = slot_word(slot, Slot.BLOCKERS)
        return sum(self.words.load(first + word) << 64 * word for word in range(_BLOCKER_WORDS))
