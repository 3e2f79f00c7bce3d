"""How a thread waits for a stripe, and whom a release wakes.

A waiter's bit is in the stripe's lot before it looks at the lock word again, and a
releaser clears the word before it reads the lot, so one of the two sees the other and no
wake-up is lost.  A wake-up may still die with a thread that got it, so every sleep ends by
itself after a while; that costs a delay, never a hang.

A release wakes the writer that waits for the last sharer to leave, if there is one; else
one exclusive waiter or all shared ones, beginning behind the releaser's
own slot so that everybody's turn comes.  The lock is not handed over: whoever is awake may
take it first (barging), because handing it to a thread that is not running stops everybody
else for as long as that takes.
"""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from pydsm.core.layout import LINE, LockHeader, Slot, Team, Total
from pydsm.errors import DeadlockError, LockTimeoutError, OwnerDiedError
from pydsm.ipc.cpus import available_cpus
from pydsm.native import StripeLocks, Words
from pydsm.sync import deadlock
from pydsm.sync.namespace import Namespace
from pydsm.sync.slots import BARRIER, EXCLUSIVE, JOIN, SHARED, bits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LockStatistics", "LockTable", "deadline_of"]

_SPINS: Final = 40  # about a microsecond
_FIRST_PARK: Final = 0.02
_LAST_PARK: Final = 0.1


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """What an array's locks have seen so far, from all workers.

    A worker adds its share when it waits, when it returns, and when it asks.
    """

    name: str
    stripes: int
    acquisitions: int
    contended: int
    parks: int
    waited_seconds: float
    held_exclusive: int
    held_shared: int


def deadline_of(timeout: Any) -> float | None:
    """Return when `timeout` seconds from now will be on the monotonic clock."""
    if timeout is None:
        return None
    if not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout is a number of seconds, or None for ever, not {timeout!r}")
    seconds = float(timeout)
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"timeout is a number of seconds from 0, or None for ever, not {timeout!r}")
    return time.monotonic() + seconds


class LockTable:
    """The policy for the locks of one array, or for the one stripe of a named lock."""

    def __init__(self, namespace: Namespace, header: LockHeader, words: NDArray[Any]) -> None:
        self.namespace = namespace
        self.name = header.description.name
        self.array_id = header.array_id
        self.stripes = header.stripes
        self._block = header.description.block
        self._is_array = bool(header.description.shape)
        self._rows = header.description.shape[0] if self._is_array else 1
        self._totals = Words(words[: header.words])
        self._lines = words[header.words : header.words + header.stripes * LINE]
        self._lots = words[header.words + header.stripes * LINE :]

    def open_locks(self) -> StripeLocks:
        """Return the lock words; they keep this policy alive, not the other way round."""
        crowded = self.namespace.words.load(Team.SIZE) > available_cpus()
        return StripeLocks(
            self._lines, self._lots, space=self.namespace.space, policy=self, spins=0 if crowded else _SPINS
        )

    # -- asked by native code ----------------------------------------------------

    def join(self) -> int:
        """Return this thread's identity."""
        if self.namespace.closed:
            raise RuntimeError(f"{self.name!r} cannot be locked: its team was terminated")
        return self.namespace.join()

    def deadline(self, timeout: float | None) -> float | None:
        """Return when a timeout that begins now ends."""
        return deadline_of(timeout)

    def wait(
        self, owner: object, locks: StripeLocks, stripe: int, me: int, shared: bool, deadline: float | None
    ) -> None:
        """Take a busy stripe, sleeping until it is free.

        Raises
        ------
        LockTimeoutError, DeadlockError, OwnerDiedError
        """
        namespace, slots, slot = self.namespace, self.namespace.slots, me - 1
        started = time.monotonic()
        pause, parks, suspicion = _FIRST_PARK, 0, None
        slots.begin_wait(slot, SHARED if shared else EXCLUSIVE, self.array_id << 32 | stripe)
        try:
            while True:
                namespace.clear_permit(slot)
                if locks.try_take(stripe, me, shared):
                    return
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise self._timeout(owner, locks, stripe, me)
                blockers = self._blockers(locks, stripe, me, shared)
                slots.block_on(slot, blockers)
                parks += 1
                if not namespace.park(slot, min(pause, left)):
                    pause = min(2 * pause, _LAST_PARK)
                    for blocker in bits_of(blockers):
                        if self._has_died(blocker, lambda: self._blockers(locks, stripe, me, shared)):
                            raise self._owner_died(owner, stripe, blocker)
                    if suspicion is None or not suspicion.stands(slots):
                        suspicion = deadlock.suspect(slots, slot)
                    elif suspicion.is_proven(slots) and suspicion.victim(slots) == slot:
                        raise self._deadlock(owner, suspicion.cycle)
        finally:
            slots.end_wait(slot)
            self._totals.add(Total.PARKS, parks)
            self._totals.add(Total.WAITED_NS, int((time.monotonic() - started) * 1e9))
            self.settle(locks)

    def wake(self, locks: StripeLocks, stripe: int, me: int) -> None:
        """Wake one exclusive waiter for the stripe, or all its shared ones.

        While word 0 is taken only its holder can get on: it may be waiting for the sharers
        to leave.  Whoever else waits is its to wake when it leaves.
        """
        slots, target = self.namespace.slots, self.array_id << 32 | stripe
        waiters = [
            slot
            for slot in bits_of(locks.waiters(stripe))
            if slots.get(slot, Slot.WAIT) and slots.get(slot, Slot.TARGET) == target
        ]
        holder = locks.holder(stripe)
        if holder:
            waiters = [slot for slot in waiters if slot == holder - 1]
        waiters.sort(key=lambda slot: (slot < me, slot))  # slot >= me lies behind ours, me - 1
        sharing = [slot for slot in waiters if slots.get(slot, Slot.KIND) == SHARED]
        for slot in waiters if waiters and waiters[0] not in sharing else sharing:
            if not self.namespace.is_alive(slot):
                locks.withdraw(stripe, slot + 1)  # it died in its sleep: the next one's turn
                continue
            self.namespace.wake(slot)
            if slot not in sharing:
                return

    def refuse_upgrade(self, owner: object, locks: StripeLocks, stripe: int) -> NoReturn:
        """Say that a shared hold cannot become exclusive."""
        raise RuntimeError(
            f"{owner!r} cannot be entered: this worker holds {self.what_is(stripe)} of it shared already; "
            "leave the shared region first, or enter exclusively from the start"
        )

    def refuse_release(self, owner: object, locks: StripeLocks) -> NoReturn:
        """Say that a lock was released that this thread does not hold."""
        holder = ", ".join(self.holders(locks, 0)) or "nobody"
        raise RuntimeError(f"{owner!r} cannot be released here: it is held by {holder}")

    # -- for people --------------------------------------------------------------

    def holders(self, locks: StripeLocks, stripe: int, *, shared: bool | None = None) -> list[str]:
        """Return who holds the stripe, in one of the modes or in both."""
        holding = self._holding(locks, stripe)
        if shared is not None:
            holding &= locks.sharers(stripe) if shared else ~locks.sharers(stripe)
        return [self.namespace.slots.name(slot) for slot in bits_of(holding)]

    def settle(self, locks: StripeLocks) -> None:
        """Add this process's counts to the array's totals."""
        acquisitions, locks.acquisitions = locks.acquisitions, 0
        contended, locks.contended = locks.contended, 0
        if acquisitions:
            self._totals.add(Total.ACQUISITIONS, acquisitions)
        if contended:
            self._totals.add(Total.CONTENDED, contended)

    def statistics(self, locks: StripeLocks) -> LockStatistics:
        """Return the array's totals."""
        self.settle(locks)
        exclusive, shared = self.held_stripes()
        return LockStatistics(
            name=self.name,
            stripes=self.stripes,
            acquisitions=self._totals.load(Total.ACQUISITIONS),
            contended=self._totals.load(Total.CONTENDED),
            parks=self._totals.load(Total.PARKS),
            waited_seconds=self._totals.load(Total.WAITED_NS) / 1e9,
            held_exclusive=len(exclusive),
            held_shared=len(shared),
        )

    def held_stripes(self) -> tuple[list[int], list[int]]:
        """Return the stripes that are held exclusive, and those held shared."""
        lines = self._lines.reshape(-1, LINE).copy()  # others change it while we look
        return np.flatnonzero(lines[:, 0]).tolist(), np.flatnonzero(lines[:, 1:].any(axis=1)).tolist()

    def waiting(self) -> list[int]:
        """Return the slots that are parked in the array's lots."""
        lots = np.bitwise_or.reduce(self._lots.reshape(-1, LINE), axis=0)
        return [64 * word + bit for word, bits in enumerate(lots.tolist()) for bit in bits_of(bits)]

    def what_is(self, stripe: int) -> str:
        """Return the rows that a stripe guards, as text."""
        if not self._is_array:
            return "the lock"
        start, stop = self.rows_of(stripe, stripe + 1)[0]
        return f"row {start}" if stop == start + 1 else f"rows {start} to {stop - 1}"

    def rows_of(self, start: int, stop: int) -> list[list[int]]:
        """Return the rows that neighbouring stripes guard, as one pair; none for a lock."""
        return [[start * self._block, min(stop * self._block, self._rows)]] if self._is_array else []

    def waiting_for(self) -> list[tuple[int, int, bool]]:
        """Return who waits for which stripe of this array, and whether to share it."""
        slots = self.namespace.slots
        targets = [(slot, slots.get(slot, Slot.TARGET)) for slot in self.waiting()]
        return [
            (slot, target & 0xFFFFFFFF, slots.get(slot, Slot.KIND) == SHARED)
            for slot, target in targets
            if target >> 32 == self.array_id
        ]

    def evict(self, locks: StripeLocks, has_ended: Callable[[int], bool]) -> list[str]:
        """Release what ended workers still hold; return a sentence for each."""
        evicted = []
        exclusive, shared = self.held_stripes()
        for stripe in sorted({*exclusive, *shared}):
            for slot in bits_of(self._holding(locks, stripe)):
                if has_ended(slot):
                    locks.evict(stripe, slot + 1)
                    evicted.append(f"{self.namespace.slots.name(slot)} ended holding {self.full_name(stripe)}")
        return evicted

    def _holding(self, locks: StripeLocks, stripe: int) -> int:
        holder = locks.holder(stripe)
        return locks.sharers(stripe) | (1 << holder - 1 if holder else 0)

    def _blockers(self, locks: StripeLocks, stripe: int, me: int, shared: bool) -> int:
        holder = locks.holder(stripe)
        if holder and holder != me:
            return 1 << holder - 1
        return 0 if shared else locks.sharers(stripe) & ~(1 << me - 1)

    def full_name(self, stripe: int) -> str:
        """Return the rows that a stripe guards with the array's name, or the lock's name."""
        return f"{self.what_is(stripe)} of array {self.name!r}" if self._is_array else f"lock {self.name!r}"

    def _timeout(self, owner: object, locks: StripeLocks, stripe: int, me: int) -> LockTimeoutError:
        holding = self._holding(locks, stripe) & ~(1 << me - 1)
        holders = [self.namespace.slots.name(slot) for slot in bits_of(holding)]
        return LockTimeoutError(
            f"{owner!r} was not had in time: {self.what_is(stripe)} held by {', '.join(holders) or 'nobody now'}",
            name=self.name,
            rows=self.what_is(stripe),
            holders=holders,
        )

    def _has_died(self, slot: int, blockers: Callable[[], int]) -> bool:
        """Say whether a blocker is dead: it blocks still, and is not alive before and after that look."""
        alive = self.namespace.is_alive
        return not alive(slot) and bool(blockers() >> slot & 1) and not alive(slot)

    def _owner_died(self, owner: object, stripe: int, slot: int) -> OwnerDiedError:
        rows, holder = self.what_is(stripe), self.namespace.slots.name(slot)
        return OwnerDiedError(
            f"{owner!r} cannot be had: {rows} held by {holder}, which has died",
            name=self.name,
            rows=rows,
            holder=holder,
        )

    def _deadlock(self, owner: object, cycle: tuple[int, ...]) -> DeadlockError:
        named = [self.namespace.slots.name(slot) for slot in cycle]
        links = [
            f"{who} waits {self._wait_of(slot)} for {whom}"
            for slot, who, whom in zip(cycle, named, named[1:] + named[:1], strict=True)
        ]
        return DeadlockError(f"deadlock at {owner!r}: {'; '.join(links)}", cycle=named)

    def _wait_of(self, slot: int) -> str:
        """Return what a participant waits for, as far as this process knows it."""
        slots = self.namespace.slots
        kind, target = slots.get(slot, Slot.KIND), slots.get(slot, Slot.TARGET)
        if kind in (BARRIER, JOIN):
            return "at the barrier" if kind == BARRIER else "for the end of the run, that is"
        locks = self.namespace.lock_words.get(target >> 32)
        return f"at {locks.policy.full_name(target & 0xFFFFFFFF)}" if locks is not None else "at a lock"
