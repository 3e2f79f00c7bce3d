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
_KEPT: Final = 1 << 12
"""Requests that may be withdrawn after they were granted; who does so, does it at once."""


@dataclass(slots=True, eq=False, repr=False)
class Wanted:
    """What one request wants, and how much of it it has."""

    request: Request
    array_id: int
    stripes: list[int]
    shared: bool
    got: int = 0

    def __repr__(self) -> str:
        return f"a region of rank {self.rank} of MPI"

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


class LockQueue:
    """The lock words of one home, for the ranks of other nodes.

    Parameters
    ----------
    locks_of : callable
        Returns the lock words of an array by its id.
    refuse : callable
        Takes a request that waited and cannot have what it wants, and why.

    Attributes
    ----------
    held : dict of tuple to int or Counter
        Who has a stripe through this server: a rank and, in the lower 32 bits, by which ticket; or how often which
        ranks share it.
    lines : dict of tuple to deque
        Who waits for a stripe.
    """

    def __init__(self, locks_of: Callable[[int], StripeLocks], refuse: Callable[[Wanted, Exception], None]) -> None:
        self._locks_of, self._refuse = locks_of, refuse
        self.held: dict[_Key, int | Counter[int]] = {}
        self.lines: dict[_Key, deque[Wanted]] = {}
        self._granted: dict[int, None] = {}  # requests that share something: a rank may share a stripe several times
        self._waiting: dict[tuple[tuple[int, int], int], Wanted] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, wanted: Wanted) -> bool:
        """Take what can be taken; say whether that is all, else it waits."""
        if wanted.stripes:
            self.lines.setdefault(wanted.key, deque()).append(wanted)
        try:
            if self._go_on(wanted):
                return True
        except BaseException:
            self._withdraw(wanted)
            raise
        self._waiting[wanted.name] = wanted
        return False

    def turn(self) -> list[Wanted]:
        """Try the first of each line, and who is behind it if it has got on; return those that have everything now."""
        ready = []
        for line in list(self.lines.values()):
            while line:
                first = line[0]
                if self._has_all(first):
                    ready.append(first)
                elif line and line[0] is first:
                    break
        for wanted in ready:
            del self._waiting[wanted.name]
        return ready

    def _has_all(self, wanted: Wanted) -> bool:
        """Try to go on with one that waits; what it cannot have ends its waiting."""
        try:
            return self._go_on(wanted)
        except Exception as error:
            del self._waiting[wanted.name]
            self._withdraw(wanted)
            self._refuse(wanted, error)
            return False

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
        holder = self.held.get(wanted.key, ())
        return [holder >> 32] if isinstance(holder, int) else sorted(holder)

    def give(self, rank: int, array_id: int, stripes: Iterable[int]) -> None:
        """Take stripes back from a rank."""
        locks = self._locks_of(array_id)
        for stripe in stripes:
            self._give(locks, (array_id, stripe), rank)

    def give_granted(self, rank: int, ticket: int, array_id: int, stripes: Iterable[int], *, shared: bool) -> None:
        """Take back what a request was granted, if it was; whoever asked does not know."""
        name = rank << 32 | ticket
        was_shared = shared and self._granted.pop(name, self) is None
        for stripe in stripes:
            if was_shared or self.held.get((array_id, stripe)) == name:
                self.give(rank, array_id, [stripe])

    def give_all(self, rank: int) -> list[_Key]:
        """Take everything back from a rank that has ended, and return what it held."""
        for wanted in [wanted for wanted in self._waiting.values() if wanted.rank == rank]:
            self.cancel(wanted.request.asker, wanted.request.ticket)
        held = [key for key in self.held if self._has(rank, key)]
        for array_id, stripe in held:
            while (array_id, stripe) in self.held and self._has(rank, (array_id, stripe)):
                self.give(rank, array_id, [stripe])
        return held

    def _has(self, rank: int, key: _Key) -> bool:
        holder = self.held[key]
        return holder >> 32 == rank if isinstance(holder, int) else holder[rank] > 0

    def _go_on(self, wanted: Wanted) -> bool:
        locks = self._locks_of(wanted.array_id)
        while wanted.got < len(wanted.stripes):
            key = wanted.key
            line = self.lines[key]
            if line[0] is not wanted or not self._take(locks, wanted, key):
                return False
            line.popleft()
            if not line:
                del self.lines[key]
            wanted.got += 1
            if wanted.got < len(wanted.stripes):
                self.lines.setdefault(wanted.key, deque()).append(wanted)
        return True

    def _take(self, locks: StripeLocks, wanted: Wanted, key: _Key) -> bool:
        holder = self.held.get(key)
        if holder is not None:
            if isinstance(holder, int) or not wanted.shared or locks.holder(key[1]):  # a native writer waits: its turn
                return False
            holder[wanted.rank] += 1
            self._note_granted(wanted.rank, wanted.request.ticket)
            return True
        if not locks.try_take(wanted, key[1], locks.me(), wanted.shared, False):
            return False
        if wanted.shared:
            self.share(key, wanted.rank, wanted.request.ticket)
        else:
            self.held[key] = wanted.rank << 32 | wanted.request.ticket
        return True

    def share(self, key: _Key, rank: int, ticket: int) -> None:
        """Note that a rank is the first to share a stripe."""
        self.held[key] = Counter((rank,))
        self._note_granted(rank, ticket)

    def _note_granted(self, rank: int, ticket: int) -> None:
        self._granted[rank << 32 | ticket] = None
        if len(self._granted) > _KEPT:
            del self._granted[next(iter(self._granted))]

    def _give(self, locks: StripeLocks, key: _Key, rank: int) -> None:
        if key not in self.held or not self._has(rank, key):
            return
        holder = self.held[key]
        if not isinstance(holder, int):
            holder[rank] -= 1
            holder += Counter()  # without those who share it no more
            if holder:
                return
        del self.held[key]
        locks.evict(key[1], locks.me())

    def _withdraw(self, wanted: Wanted) -> None:
        """Take a request out of its line, and back what it has already."""
        locks, key = self._locks_of(wanted.array_id), wanted.key
        self._granted.pop(wanted.rank << 32 | wanted.request.ticket, None)
        line = self.lines[key]
        line.remove(wanted)
        if not line:
            del self.lines[key]
        if key not in self.held:  # word 0 may be ours already, while sharers leave
            locks.evict(key[1], locks.me())
        for stripe in wanted.stripes[: wanted.got]:
            self._give(locks, (wanted.array_id, stripe), wanted.rank)
