"""Deadlocks are proven from the table of participants, then named.

Each waiter publishes who stands in its way (its *blockers*) and counts how often it has
looked and found them there still.  A cycle of waiters, each blocked by the next, is a
deadlock if it existed at one instant (Coffman, Elphick and Shoshani, 1971), but the table
is read piece by piece while it changes.  So a cycle is believed only at a later look that
finds every wait in it the same wait and every blocker confirmed since the first look: a
thread that has been waiting since before then has released nothing meanwhile, so all edges
hold together, now.  Confirmed means counted *twice* since: the first count may be of what
was seen before the first look and published after it; the second began after that.

One member, the one with the highest slot that waits for a lock, gives up; its locks come
free as the error leaves its ``with`` blocks, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydsm.core.layout import Slot
from pydsm.sync.slots import BARRIER, JOIN, SlotTable, bits_of

__all__ = ["Suspicion", "find_cycle", "suspect"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A cycle at the first look: its members, with each one's wait and count of looks."""

    cycle: tuple[int, ...]
    evidence: tuple[tuple[int, int], ...]

    def is_proven(self, slots: SlotTable) -> bool:
        """Say whether the cycle stood throughout: same waits, blockers confirmed since."""
        return all(
            wait == then_wait and checked > then_checked + 1 and slots.blockers(slot) >> following & 1
            for slot, following, (then_wait, then_checked), (wait, checked) in zip(
                self.cycle,
                self.cycle[1:] + self.cycle[:1],
                self.evidence,
                _evidence(slots, self.cycle),
                strict=True,
            )
        )

    def stands(self, slots: SlotTable) -> bool:
        """Say whether everybody in the cycle still is in the same wait, and blocked by the next."""
        now = _evidence(slots, self.cycle)
        return all(
            wait == then and slots.blockers(slot) >> following & 1
            for slot, following, (wait, _), (then, _) in zip(
                self.cycle, self.cycle[1:] + self.cycle[:1], now, self.evidence, strict=True
            )
        )

    def victim(self, slots: SlotTable) -> int:
        """Return the member that has to give up."""
        waiters = [slot for slot in self.cycle if slots.get(slot, Slot.KIND) not in (BARRIER, JOIN)]
        return max(waiters or self.cycle)


def suspect(slots: SlotTable, me: int) -> Suspicion | None:
    """Return a cycle of waiters through slot `me` as it looks now, if there is one."""
    cycle = find_cycle({}, me, slots)
    return Suspicion(cycle, _evidence(slots, cycle)) if cycle else None


def find_cycle(known: dict[int, int], me: int, slots: SlotTable | None = None) -> tuple[int, ...]:
    """Return the slots on a cycle of blockers through `me`, or an empty tuple.

    Parameters
    ----------
    known : dict
        Blockers (bits) by slot; a slot that is not in it is asked of `slots`.
    me : int
        Where to begin.

    Examples
    --------
    >>> find_cycle({0: 0b010, 1: 0b100, 2: 0b001}, 0)
    (0, 1, 2)
    >>> find_cycle({0: 0b010, 1: 0b100, 2: 0b000}, 0)
    ()
    """
    seen: set[int] = set()
    path: list[int] = []

    def reaches_me(slot: int) -> bool:
        path.append(slot)
        blockers = known[slot] if slot in known or slots is None else slots.blockers(slot)
        for following in bits_of(blockers):
            if following == me:
                return True
            if following not in seen:
                seen.add(following)
                if reaches_me(following):
                    return True
        path.pop()
        return False

    return tuple(path) if reaches_me(me) else ()


def _evidence(slots: SlotTable, cycle: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((slots.get(slot, Slot.WAIT), slots.get(slot, Slot.CHECKED)) for slot in cycle)
