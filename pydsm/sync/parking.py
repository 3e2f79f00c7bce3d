"""Sleeping and waking: every slot has a semaphore to sleep on, and a permit.

The truth is in words that all processes see (a lock word, a generation); a semaphore only
ends a sleep.  A waiter makes itself known first (a bit in a lot), and then goes round:
clear its permit, look at the words, sleep.  A waker changes the words first, then looks
for waiters and sets each one's *permit*; whoever set it from 0 to 1 posts the semaphore.
So one token is under way however many releases a sleeper sleeps through, and none of them
is missed: who finds the permit set has changed the words before the sleeper cleared it, and
the sleeper looks after clearing it.

A token too many ends a later sleep early; its sleeper looks, and sleeps on.  A token may
also be lost: its waker dies between permit and post, or has no room to map the semaphore.
Then the permit stays set, and nobody posts.  But every sleep ends by itself after a while, its
sleeper clears the permit and looks at the words: a lost token costs a delay, never a hang.
After a death nobody even waits that long: the burial posts to all who wait, whatever their
permits say (`wake_surely`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pydsm.core import names
from pydsm.core.layout import Slot, slot_word
from pydsm.ipc.semaphore import Semaphore
from pydsm.sync.slots import bits_of

if TYPE_CHECKING:
    from pydsm.ipc.shm import Permissions
    from pydsm.native import Words

__all__ = ["Parking"]


class Parking:
    """Where the threads of a namespace sleep, as this process sees it.

    Parameters
    ----------
    name : str
        The namespace.
    words : Words
        Its table of participants.
    permissions : Permissions
        Of the semaphores that are made.
    shared : bool
        Whether another user of the group may have made them.
    """

    def __init__(self, name: str, words: Words, permissions: Permissions, *, shared: bool) -> None:
        self._name = name
        self._words = words
        self._permissions = permissions
        self._shared = shared
        self._semaphores: dict[int, Semaphore] = {}
        self._sleeping: set[int] = set()
        self._why_closed: str | None = None

    def park(self, slot: int, seconds: float) -> bool:
        """Sleep in one's own slot until woken; False if `seconds` went by."""
        self._sleeping.add(slot)  # before looking: `close` unmaps what nobody sleeps on
        try:
            return self.semaphore(slot).park(seconds)
        finally:
            self._sleeping.discard(slot)

    def clear_permit(self, slot: int) -> None:
        """Say, before looking again, that the next wake-up is wanted."""
        self.semaphore(slot)  # made by now, or the first wake-up would find none
        self._words.store(slot_word(slot, Slot.PERMIT), 0)

    def wake(self, slot: int) -> None:
        """Wake the thread in a slot, unless that is under way already."""
        if self._words.exchange(slot_word(slot, Slot.PERMIT), 1) == 0:
            with contextlib.suppress(OSError, MemoryError):  # nobody has slept there yet; or the sleep ends by itself
                self.semaphore(slot, create=False).post()

    def wake_all(self, bits: int) -> None:
        """Wake the threads in all the slots whose bit is set."""
        for slot in bits_of(bits):
            self.wake(slot)

    def wake_surely(self, bits: int) -> None:
        """Wake threads even if that is said to be under way: who said so may be dead."""
        for slot in bits_of(bits):
            self._words.store(slot_word(slot, Slot.PERMIT), 0)
            self.wake(slot)

    def semaphore(self, slot: int, *, create: bool = True) -> Semaphore:
        """Return the semaphore of a slot, which is made by the first to sleep there.

        Raises
        ------
        FileNotFoundError
            There is none, and `create` is false.
        SegmentError, NoRoomError
        """
        known = self._semaphores.get(slot)
        if known is None:
            if self._why_closed is not None:
                raise RuntimeError(f"nobody can wait in namespace {self._name!r} any more: {self._why_closed}")
            known = self._semaphores[slot] = self._find(slot, create=create)
        return known

    def _find(self, slot: int, *, create: bool) -> Semaphore:
        name = names.semaphore_name(self._name, slot)
        while create:
            with contextlib.suppress(FileExistsError):
                return Semaphore.create(name, **self._permissions)
            with contextlib.suppress(FileNotFoundError):
                return Semaphore.open(name, shared=self._shared)
        return Semaphore.open(name, shared=self._shared)

    def refuse(self, why: str) -> None:
        """Open no semaphore from now on, because of what `why` says."""
        self._why_closed = why

    def close(self, why: str) -> None:
        """Unmap the semaphores, and open none any more."""
        self.refuse(why)
        for slot, parked in list(self._semaphores.items()):
            if slot not in self._sleeping:  # a thread of ours asleep on it would wake up on nothing
                parked.close()
        self._semaphores.clear()

    def after_fork(self) -> None:
        """Be a process of one's own: the threads that sleep are the parent's."""
        self._sleeping = set()
