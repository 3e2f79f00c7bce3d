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

from pydsm.core.layout import MAX_SLOTS, LockHeader, Participant, Slot, Total
from pydsm.errors import DeadlockError, LockTimeoutError, OwnerDiedError
from pydsm.native import Region, StripeLocks, UndoRecord, Watch, waits
from pydsm.sync import deadlock, watch
from pydsm.sync.lockwords import LockWords
from pydsm.sync.namespace import Namespace
from pydsm.sync.slots import ALL_SLOTS, BARRIER, ELEMENT, EXCLUSIVE, JOIN, RECOVERING, SHARED, bits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LockStatistics", "LockTable", "deadline_of"]

_SPINS: Final = 100  # some microseconds, a fraction of what a sleep costs
_FIRST_PARK: Final = 0.02
_LAST_PARK: Final = 0.1
_BURIAL_PARK: Final = 0.001  # until the next look, while another process buries


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
    abandoned: int


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


class LockTable(LockWords):
    """The policy for the locks of one array, or for the one stripe of a named lock."""

    def __init__(self, namespace: Namespace, header: LockHeader, table: NDArray[Any]) -> None:
        super().__init__(header, table)
        self.namespace = namespace

    def open_locks(self) -> StripeLocks:
        """Return the lock words; they keep this policy alive, not the other way round."""
        return StripeLocks(
            self.lines,
            self.lots,
            space=self.namespace.space,
            policy=self,
            spins=_SPINS,
            sleepers=self.namespace.sleepers,
            target=self.array_id << 32,
        )

    # -- asked by native code ----------------------------------------------------

    def join(self) -> int:
        """Return this thread's identity."""
        if self.namespace.closed:
            raise RuntimeError(f"{self.name!r} cannot be locked: {self.namespace.why_closed}")
        return self.namespace.join()

    def deadline(self, timeout: float | None) -> float | None:
        """Return when a timeout that begins now ends."""
        return deadline_of(timeout)

    def wait(
        self,
        owner: object,
        locks: StripeLocks,
        stripe: int,
        me: int,
        shared: bool,
        recover: bool,
        deadline: float | None,
    ) -> None:
        """Take a busy stripe, sleeping until it is free.

        Raises
        ------
        LockTimeoutError, DeadlockError, OwnerDiedError
        """
        namespace, slots, slot = self.namespace, self.namespace.slots, me - 1
        started = time.monotonic()
        pause, parks, suspicion, final = _FIRST_PARK, 0, None, False
        look_at = started + pause
        kind = SHARED if shared else RECOVERING if recover else EXCLUSIVE
        outer = slots.begin_wait(slot, kind, self.array_id << 32 | stripe, nested=waits() > 1)
        try:
            while True:
                namespace.parking.clear_permit(slot)
                if locks.try_take(owner, stripe, me, shared, recover):
                    return
                now = time.monotonic()
                left = math.inf if deadline is None else deadline - now
                blockers = self._blockers(locks, stripe, me, shared)
                if left <= 0:
                    if final or not self._bury_dead(blockers):
                        raise self._timeout(owner, locks, stripe, me)
                    final = True  # one more try: who only ever polls has to learn of a death, too
                    continue
                slots.block_on(slot, blockers)
                if now >= look_at:  # however often it is woken in vain
                    pause = min(2 * pause, _LAST_PARK)
                    look_at = now + pause
                    if self._bury_dead(blockers):
                        look_at = now + _BURIAL_PARK
                    if suspicion is None or not suspicion.stands(slots):
                        suspicion = deadlock.suspect(slots, slot)
                    elif suspicion.is_proven(slots) and suspicion.victim(slots) == slot:
                        raise self._deadlock(owner, suspicion.cycle)
                parks += 1
                namespace.parking.park(slot, max(0.0, min(look_at - now, left)))
        finally:
            slots.end_wait(slot, outer)
            self._words.add(Total.PARKS, parks)
            self._words.add(Total.WAITED_NS, int((time.monotonic() - started) * 1e9))
            self.settle(locks)

    def forget_wait(self, me: int) -> None:
        """Publish no more what an interrupted wait for a stripe may have left."""
        slots, slot = self.namespace.slots, me - 1
        if slots.get(slot, Slot.KIND) not in (BARRIER, JOIN):
            slots.end_wait(slot)

    def _bury_dead(self, blockers: int) -> bool:
        """Bury those who are dead, unless somebody else is at it; say whether there are any."""
        dead = [blocker for blocker in bits_of(blockers) if not self.namespace.is_alive(blocker)]
        for blocker in dead:
            self.namespace.bury(blocker)
        return bool(dead)

    def wake(self, locks: StripeLocks, stripe: int, me: int) -> None:
        """Wake one exclusive waiter for the stripe, or all its shared ones, and who waits for an element of it.

        While word 0 is taken only its holder can get on: it may be waiting for the sharers
        to leave.  Whoever else waits is its to wake when it leaves.
        """
        if self.namespace.closed:
            return
        slots, target = self.namespace.slots, self.array_id << 32 | stripe
        waiters = [
            slot
            for slot in bits_of(locks.waiters(stripe) & ALL_SLOTS)
            if slots.get(slot, Slot.WAIT) and slots.get(slot, Slot.TARGET) == target
        ]
        watching = [slot for slot in waiters if slots.get(slot, Slot.KIND) == ELEMENT]
        for slot in watching:
            watch.wake_or_withdraw(self.namespace, locks, stripe, slot)
        waiters = [slot for slot in waiters if slot not in watching]
        holder = locks.holder(stripe)
        if Participant.of_abandoned(holder):
            self.namespace.parking.wake_all(sum(1 << slot for slot in waiters))  # they all have to know
            return
        if holder:
            waiters = [slot for slot in waiters if slot == holder - 1]
        waiters.sort(key=lambda slot: (slot < me, slot))  # slot >= me lies behind ours, me - 1
        sharing = [slot for slot in waiters if slots.get(slot, Slot.KIND) == SHARED]
        for slot in waiters if waiters and waiters[0] not in sharing else sharing:
            if not self.namespace.is_alive(slot):
                if slot != holder - 1:  # its burial has to see that it never got in
                    locks.withdraw(stripe, slot + 1)  # it died in its sleep: the next one's turn
                continue
            self.namespace.parking.wake(slot)
            if slot not in sharing:
                return

    def wake_watchers(self, locks: StripeLocks, stripe: int | None) -> None:
        """Wake who waits for an element that a stripe guards, or for any of the array's."""
        watch.wake_watchers(self.namespace, self.array_id, locks, stripe)

    def watch(self, watched: Watch, deadline: float | None, nested: bool) -> Any:
        """Sleep until an element is as wanted; return what it is then."""
        return watch.watch(self.namespace, self.array_id, watched, deadline, nested=nested)

    def refuse_upgrade(self, owner: object, locks: StripeLocks, stripe: int) -> NoReturn:
        """Say that a shared hold cannot become exclusive."""
        raise RuntimeError(
            f"{owner!r} cannot be entered: this worker holds {self.what_is(stripe)} of it shared already; "
            "leave the shared region first, or enter exclusively from the start"
        )

    def refuse_abandoned(self, owner: object, locks: StripeLocks, stripe: int, word: int) -> NoReturn:
        """Say that somebody died inside."""
        dead = Participant.of_abandoned(word)
        assert dead is not None
        rows = self.what_is(stripe)
        raise OwnerDiedError(
            f"{owner!r} cannot be had: {dead} died holding {rows}; what it changed without undo=True may be "
            "half done; recover=True takes over",
            name=self.name,
            rows=rows,
            holder=str(dead),
            rank=dead.rank,
            pid=dead.pid,
        )

    def save(self, regions: list[Region]) -> UndoRecord:
        """Copy the regions' rows to where they can be put back from."""
        return self.namespace.undo_log(self.join() - 1).save(regions)

    def refuse_release(self, owner: object, locks: StripeLocks) -> NoReturn:
        """Say that a lock was released that this thread does not hold."""
        holder = ", ".join(self.holders(locks, 0)) or "nobody"
        raise RuntimeError(f"{owner!r} cannot be released here: it is held by {holder}")

    # -- for people --------------------------------------------------------------

    def name_of_dead(self, word: int) -> str:
        """Return who died in a stripe whose word 0 this was."""
        return str(Participant.of_abandoned(word))

    def holders(self, locks: StripeLocks, stripe: int, *, shared: bool | None = None) -> list[str]:
        """Return who holds the stripe, in one of the modes or in both."""
        holding = self._holding(locks, stripe)
        if shared is not None:
            holding &= locks.sharers(stripe) if shared else ~locks.sharers(stripe)
        return [
            self.namespace.slots.name(slot) + ("" if self.namespace.is_alive(slot) else ", dead")
            for slot in bits_of(holding)
        ]

    def settle(self, locks: StripeLocks) -> None:
        """Add this process's counts to the array's totals."""
        acquisitions, locks.acquisitions = locks.acquisitions, 0
        contended, locks.contended = locks.contended, 0
        if acquisitions:
            self._words.add(Total.ACQUISITIONS, acquisitions)
        if contended:
            self._words.add(Total.CONTENDED, contended)

    def statistics(self, locks: StripeLocks) -> LockStatistics:
        """Return the array's totals."""
        self.settle(locks)
        exclusive, shared = self.held_stripes()
        return LockStatistics(
            name=self.name,
            stripes=self.stripes,
            acquisitions=self._words.load(Total.ACQUISITIONS),
            contended=self._words.load(Total.CONTENDED),
            parks=self._words.load(Total.PARKS),
            waited_seconds=self._words.load(Total.WAITED_NS) / 1e9,
            held_exclusive=len(exclusive),
            held_shared=len(shared),
            abandoned=len(self.abandoned()),
        )

    def waiting_for(self) -> list[tuple[int, int, bool]]:
        """Return who waits for the lock of which stripe of this array, and whether to share it."""
        slots = self.namespace.slots
        targets = [(slot, slots.get(slot, Slot.TARGET)) for slot in self.waiting()]
        return [
            (slot, target & 0xFFFFFFFF, slots.get(slot, Slot.KIND) == SHARED)
            for slot, target in targets
            if target >> 32 == self.array_id and slots.get(slot, Slot.KIND) != ELEMENT
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
        return locks.sharers(stripe) | _bit(locks.holder(stripe))

    def _blockers(self, locks: StripeLocks, stripe: int, me: int, shared: bool) -> int:
        holder = locks.holder(stripe)
        if holder and holder != me:
            return _bit(holder)
        return 0 if shared else locks.sharers(stripe) & ~(1 << me - 1)

    def _timeout(self, owner: object, locks: StripeLocks, stripe: int, me: int) -> LockTimeoutError:
        holding = self._holding(locks, stripe) & ~(1 << me - 1)
        holders = [self.namespace.slots.name(slot) for slot in bits_of(holding)]
        return LockTimeoutError(
            f"{owner!r} was not had in time: {self.what_is(stripe)} held by {', '.join(holders) or 'nobody now'}",
            name=self.name,
            rows=self.what_is(stripe),
            holders=holders,
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
            where = "at the barrier" if target == 0 else "in share()"
            return where if kind == BARRIER else "for the end of the run, that is"
        locks = self.namespace.lock_words.get(target >> 32)
        return f"at {locks.policy.full_name(target & 0xFFFFFFFF)}" if locks is not None else "at a lock"


def _bit(holder: int) -> int:
    """Return the holder that word 0 names as a bit; none if it is free or abandoned."""
    return 1 << holder - 1 if 0 < holder <= MAX_SLOTS else 0
