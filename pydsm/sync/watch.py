"""Waiting for an element, and waking who waits for one.

A watcher sleeps in the lot of its element's stripe, beside those who wait for the stripe's
lock, and a slot says which of the two a thread is.  Its bit is in the lot before it looks at
the element, and who changes the element reads the lot after: one of the two sees the other.
As everywhere, a wake-up that died with whoever carried it costs a delay, never a hang.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

from pydsm.core.layout import Slot, Team
from pydsm.errors import WaitTimeoutError
from pydsm.sync.slots import ALL_SLOTS, ELEMENT, SlotTable, bits_of

if TYPE_CHECKING:
    from pydsm.native import StripeLocks, Watch
    from pydsm.sync.namespace import Namespace

__all__ = ["wake_or_withdraw", "wake_watchers", "watch"]

_FIRST_PARK: Final = 0.02
_LAST_PARK: Final = 0.1
_ALONE_SECONDS: Final = 1.0  # that others may take to end, or to attach


def watch(namespace: Namespace, array_id: int, watched: Watch, deadline: float | None, *, nested: bool) -> Any:
    """Sleep until an element is as wanted; return what it is then.

    Raises
    ------
    WaitTimeoutError
    """
    slots, slot, pid = namespace.slots, namespace.join() - 1, os.getpid()
    pause, alone_at = _FIRST_PARK, time.monotonic() + _ALONE_SECONDS
    outer = slots.begin_wait(slot, ELEMENT, array_id << 32 | watched.stripe, nested=nested)
    try:
        while True:
            if os.getpid() != pid:
                raise RuntimeError(
                    f"{watched!r} cannot be waited for: this process was forked in the middle of the wait"
                )
            watched.enter_lot()  # each time: a wait of a signal handler's may have left it
            namespace.parking.clear_permit(slot)
            found = watched.holds()
            if found is not None:
                return found
            left = math.inf if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError(f"{watched!r} did not come true in time", name=watched.array.name)
            if not namespace.parking.park(slot, min(pause, left)):
                pause = min(2 * pause, _LAST_PARK)
                if deadline is None and time.monotonic() > alone_at and _is_alone(namespace):
                    alone_at = math.inf
                    warnings.warn(f"{watched!r} is waited for, and all other workers have ended", RuntimeWarning, 4)
    finally:
        slots.end_wait(slot, outer)


def _is_alone(namespace: Namespace) -> bool:
    """Say whether this thread is a worker's, and all other workers have ended."""
    others = set(range(namespace.words.load(Team.SIZE))) - {namespace.rank()}
    return namespace.rank() is not None and all(map(namespace.slots.has_left, others))


def wake_watchers(namespace: Namespace, array_id: int, locks: StripeLocks, stripe: int | None) -> None:
    """Wake who waits for an element of one stripe, or of any."""
    if namespace.closed:
        return
    lots = range(min(locks.stripes, locks.lots)) if stripe is None else (stripe,)
    for lot in lots:
        for slot in bits_of(locks.waiters(lot) & ALL_SLOTS):
            if waits_for_element(namespace.slots, slot, array_id, stripe):
                wake_or_withdraw(namespace, locks, lot, slot)


def wake_or_withdraw(namespace: Namespace, locks: StripeLocks, stripe: int, slot: int) -> None:
    """Wake a thread that waits in a stripe's lot, or take it out of there if it died in its sleep."""
    if namespace.is_alive(slot):
        namespace.parking.wake(slot)
    else:
        locks.withdraw(stripe, slot + 1)


def waits_for_element(slots: SlotTable, slot: int, array_id: int, stripe: int | None) -> bool:
    """Say whether a slot's thread waits for an element of an array, and of that stripe if one is given."""
    if not slots.get(slot, Slot.WAIT) or slots.get(slot, Slot.KIND) != ELEMENT:
        return False
    target = slots.get(slot, Slot.TARGET)
    return target >> 32 == array_id and (stripe is None or target & 0xFFFFFFFF == stripe)
