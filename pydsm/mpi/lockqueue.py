"""Who of other nodes waits for a home's lock words, and who has them.

The home's native lock word is the lock, for everybody.  Workers of the home take it without a message; for the
others the home's server takes it, and keeps here for whom.  One that waits is in the line of the stripe it
has come to, with all stripes before it in hand; stripes are asked for in ascending order, so nobody waits
in a circle.  A line is served in the order of arrival.

The server never waits: it tries the first of each line, again and again as long as there is one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydsm.mpi.messages import Request
from pydsm.native import StripeLocks

__all__ = ["LockQueue", "Wanted"]

_Key = tuple[int, int]


@dataclass(slots=True, eq=False)
class Wanted:
    """What one request wants, and how much of it it has."""

    request: Request
    array_id: int
    stripes: list[int]
    shared: bool
    got: int = 0

    @property
    def rank(self) -> int:
        """Who asks."""
        return self.request.asker[0]

    @property
    def name(self) -> tuple[tuple[int, int], int]:
        """What its answer is known by."""
        return self.request.asker, self.request.ticket

    @property
    def key(self) -> _Key:
        """The stripe it has come to."""
        return self.array_id, self.stripes[self.got]


@dataclass(slots=True)
class _Held:
    """Who has a stripe through this server."""

    owner: int | None
    sharers: Counter[int]


_NOBODY: Final[Counter[int]] = Counter()


class LockQueue:
    """The lock words of one home, for the ranks of other nodes.

    Parameters
    ----------
    locks_of : callable
        Returns the lock words of an array by its id.
    """

    def __init__(self, locks_of: Callable[[int], StripeLocks]) -> None:
        self._locks_of = locks_of
        self._held: dict[_Key, _Held] = {}
        self._lines: dict[_Key, deque[Wanted]] = {}
        self._waiting: dict[tuple[tuple[int, int], int], Wanted] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take_at_once(self, array_id: int, stripe: int, rank: int, shared: bool) -> bool:
        """Take a stripe that nobody has through this server or waits for; say whether it was free."""
        key = array_id, stripe
        if key in self._held or key in self._lines:
            return False
        locks = self._locks_of(array_id)
        if not locks.try_take(self, stripe, locks.me(), shared, False):
            return False
        self._note(key, rank, shared)
        return True

    def ask(self, wanted: Wanted) -> bool:
        """Take what can be taken; say whether that is all, else it waits."""
        if wanted.stripes:
            self._lines.setdefault(wanted.key, deque()).append(wanted)
        if self._go_on(wanted):
            return True
        self._waiting[wanted.name] = wanted
        return False

    def turn(self) -> list[Wanted]:
        """Try the first of each line, and who is behind it if it has got on; return those that have everything now."""
        ready = []
        for line in list(self._lines.values()):
            while line:
                first = line[0]
                if self._go_on(first):
                    ready.append(first)
                elif line and line[0] is first:
                    break
        for wanted in ready:
            del self._waiting[wanted.name]
        return ready

    def find(self, asker: tuple[int, int], ticket: int) -> Wanted | None:
        """Return a request that waits, or None if none does."""
        return self._waiting.get((asker, ticket))

    def cancel(self, asker: tuple[int, int], ticket: int) -> Wanted | None:
        """Give up a request that waits; return it, or None if none does."""
        wanted = self._waiting.pop((asker, ticket), None)
        if wanted is not None:
            self._withdraw(wanted)
        return wanted

    def holders(self, wanted: Wanted) -> list[int]:
        """Return the ranks of other nodes that have the stripe a request has come to."""
        held = self._held.get(wanted.key, _Held(None, _NOBODY))
        return sorted(held.sharers) if held.owner is None else [held.owner]

    def give(self, rank: int, array_id: int, stripes: Iterable[int]) -> None:
        """Take stripes back from a rank."""
        locks = self._locks_of(array_id)
        for stripe in stripes:
            self._give(locks, (array_id, stripe), rank)

    def give_all(self, rank: int) -> list[_Key]:
        """Take everything back from a rank that has ended, and return what it held."""
        for wanted in [wanted for wanted in self._waiting.values() if wanted.rank == rank]:
            self.cancel(wanted.request.asker, wanted.request.ticket)
        held = [key for key, entry in self._held.items() if entry.owner == rank or entry.sharers[rank]]
        for array_id, stripe in held:
            while (array_id, stripe) in self._held and self._has(rank, (array_id, stripe)):
                self.give(rank, array_id, [stripe])
        return held

    def _has(self, rank: int, key: _Key) -> bool:
        held = self._held[key]
        return held.owner == rank or held.sharers[rank] > 0

    def _go_on(self, wanted: Wanted) -> bool:
        locks = self._locks_of(wanted.array_id)
        while wanted.got < len(wanted.stripes):
            key = wanted.key
            line = self._lines[key]
            if line[0] is not wanted or not self._take(locks, wanted, key):
                return False
            line.popleft()
            if not line:
                del self._lines[key]
            wanted.got += 1
            if wanted.got < len(wanted.stripes):
                self._lines.setdefault(wanted.key, deque()).append(wanted)
        return True

    def _take(self, locks: StripeLocks, wanted: Wanted, key: _Key) -> bool:
        held = self._held.get(key)
        if held is not None:
            if held.owner is not None or not wanted.shared or locks.holder(key[1]):  # a native writer waits: its turn
                return False
            held.sharers[wanted.rank] += 1
            return True
        if not locks.try_take(wanted, key[1], locks.me(), wanted.shared, False):
            return False
        self._note(key, wanted.rank, wanted.shared)
        return True

    def _note(self, key: _Key, rank: int, shared: bool) -> None:
        self._held[key] = _Held(None, Counter((rank,))) if shared else _Held(rank, _NOBODY)

    def _give(self, locks: StripeLocks, key: _Key, rank: int) -> None:
        held = self._held.get(key)
        if held is None:
            return
        if held.owner is None:
            held.sharers[rank] -= 1
            held.sharers += Counter()
            if held.sharers:
                return
        del self._held[key]
        locks.evict(key[1], locks.me())

    def _withdraw(self, wanted: Wanted) -> None:
        """Take a request out of its line, and back what it has already."""
        locks, key = self._locks_of(wanted.array_id), wanted.key
        line = self._lines[key]
        line.remove(wanted)
        if not line:
            del self._lines[key]
        if key not in self._held:  # word 0 may be ours already, while sharers leave
            locks.evict(key[1], locks.me())
        for stripe in wanted.stripes[: wanted.got]:
            self._give(locks, (wanted.array_id, stripe), wanted.rank)
