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
from typing import Final

from pydsm.core.layout import MAX_SLOTS, Slot, slot_word
from pydsm.native import Words

__all__ = ["BARRIER", "EXCLUSIVE", "JOIN", "SHARED", "SlotTable", "bits_of"]

EXCLUSIVE: Final = 1
SHARED: Final = 2
BARRIER: Final = 3
JOIN: Final = 4
"""Kinds of waits."""

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

    def claim(self, slot: int) -> bool:
        """Take a free slot; False if it is taken."""
        return self.words.compare_and_swap(slot_word(slot, Slot.STATE), 0, 1)

    def introduce(self, slot: int, rank: int | None) -> None:
        """Write down who runs in the slot (for people: nothing is decided by a pid)."""
        self.set(slot, Slot.PID, os.getpid() << 32 | threading.get_native_id() & 0xFFFFFFFF)
        self.set(slot, Slot.RANK, 0 if rank is None else rank + 1)
        self.set(slot, Slot.WAIT, 0)

    def vacate(self, slot: int) -> None:
        """Make the slot free."""
        self.set(slot, Slot.PID, 0)
        self.set(slot, Slot.STATE, 0)

    def name(self, slot: int) -> str:
        """Return who runs in the slot, for people."""
        rank = self.get(slot, Slot.RANK)
        pid = self.get(slot, Slot.PID) >> 32
        return f"rank {rank - 1} (pid {pid})" if rank else f"pid {pid}"

    def begin_wait(self, slot: int, kind: int, target: int) -> None:
        """Publish that the slot's thread waits, and for what."""
        waits = self.get(slot, Slot.WAITS) + 1
        self.set(slot, Slot.WAITS, waits)
        self.set(slot, Slot.TARGET, target)
        self.set(slot, Slot.KIND, kind)
        self.set(slot, Slot.CHECKED, 0)
        self.block_on(slot, 0)
        self.set(slot, Slot.WAIT, waits)

    def end_wait(self, slot: int) -> None:
        """Publish that it goes on."""
        self.set(slot, Slot.WAIT, 0)

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
