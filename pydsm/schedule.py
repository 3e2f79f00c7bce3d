"""Handing out work while it is done: who is free takes the next piece.

Each share of work is a position in shared memory, which workers advance by
compare-and-swap; nobody holds a lock, so nobody who is stopped or dies holds up the others.
Pieces are of a fixed size or *guided* (Polychronopoulos and Kuck, *Guided self-scheduling*,
1987): a part of what is left, so that there are few of them and the last ones are single
things, over which nobody waits long for the others.  A piece is a quarter of one worker's part
of what is left: so it may be four times as hard as the rest and still be done with it.

**The ring.**  A worker's k-th share of a run uses entry ``k % 16`` of a ring.  An entry is
two words, each 16 bits of tag and 48 bits of number: *place*, how far the share is handed
out, and *length*, how long it is.  The tag says which turn of the ring the word is of:
``k // 16 + 1``, modulo 2**16, so after a reset (zeros) all is of a turn before the first.

**Opening.**  Who comes to an entry of an older turn installs its own, length first, place
second, each by compare-and-swap from what it saw; who finds only the length does the rest.
So a place has its length before it, and a length of one's own turn that says something else
is another worker's mistake.  Length is replaced only if the old share is *over*: handed out
(place is its length), or left by everybody who works still.  Each worker says in its slot
how many shares it has left behind; to call `share` again is to leave the ones before.  A
newer tag therefore means that there is nothing to have any more.

**Taking** looks at place only.  If place has another tag the share is over.  Nobody can
mistake a place for another one with the same bits, and the same tag, unless it sleeps
through 2**16 turns; and tags are compared with their sign, so a worker must not be 2**15
turns behind.  Every 2**14-th share waits for those who are 2**18 behind, which is half of it.

**Waiting** is only for workers that have not left a share that somebody broke off 16 shares
ago.  It ends with an error if the run has failed, or if the one waited for is in a barrier,
which cannot be complete without the waiter.  The wait is published, so that a worker that
wants rows that the waiter holds finds the deadlock.

`tests/model/shares.py` explores every interleaving of this, with deaths.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator
from typing import Final, Literal

from pydsm.core.events import scheduler
from pydsm.core.layout import LINE, RING, Slot, Team
from pydsm.errors import DeadlockError
from pydsm.native import waits
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace
from pydsm.sync.slots import BARRIER

__all__ = ["Chunk", "Schedule", "check_chunk", "check_length", "pieces", "reset"]

Chunk = int | Literal["guided"]

_BITS: Final = 48
_NUMBER: Final = (1 << _BITS) - 1
_TAGS: Final = 1 << 16
_PARTS: Final = 4  # of what is left, for each worker: a guided piece is one of them
_STEADY: Final = 1 << 14  # shares between two looks for workers that are far behind
_FAR: Final = 1 << 18
_SHARING: Final = 1  # what a published wait is for, where a barrier's has 0
_FIRST_PAUSE: Final = 0.0001
_LAST_PAUSE: Final = 0.01


class Schedule:
    """The shares of a run, as one worker sees them."""

    def __init__(self, namespace: Namespace, rank: int, size: int, barrier: Barrier) -> None:
        self._namespace, self._barrier = namespace, barrier
        self._words = namespace.words
        self._rank, self._size = rank, size
        self._next = 0

    def share(self, n: int, chunk: Chunk) -> Iterator[range]:
        """Begin the next share of the run; see `Worker.share`."""
        n, size = check_length(n), check_chunk(chunk)
        ordinal = self._next
        self._next += 1
        self._publish(ordinal)
        if not self._open(ordinal, n):
            self._publish(ordinal + 1)
            return iter(())
        return self._take(ordinal, n, size)

    # -- opening -----------------------------------------------------------------

    def _open(self, ordinal: int, n: int) -> bool:
        """Find or make the entry of a share; say whether there may be something to have."""
        words, index, tag = self._words, _index(ordinal), _tag(ordinal)
        wanted = tag << _BITS | n
        if ordinal % _STEADY == 0:
            self._wait_for(ordinal - _FAR)
        while True:
            place, length = words.load(index), words.load(index + 1)
            if _age(place, tag) < 0 or _age(length, tag) < 0:
                return False
            if _age(length, tag) > 0:
                if not _is_handed_out(place, length):
                    self._wait_for(ordinal - RING)
                words.compare_and_swap(index + 1, length, wanted)
            elif length != wanted:
                raise ValueError(
                    f"rank {self._rank} called share({n}), and another worker share({length & _NUMBER}) instead: "
                    "all workers call share in the same order, with the same n"
                )
            elif _age(place, tag) > 0:
                words.compare_and_swap(index, place, tag << _BITS)
            else:
                return True

    def _wait_for(self, ordinal: int) -> None:
        """Wait until every worker that works still has left a share behind."""
        if not self._late(ordinal):
            return
        decides = scheduler()
        if decides is not None:
            decides.wait(lambda: self._is_behind(ordinal), "share()")
            return
        slots, slot, pause = self._namespace.slots, self._namespace.join() - 1, _FIRST_PAUSE
        outer = slots.begin_wait(slot, BARRIER, _SHARING, nested=waits() > 0)
        try:
            while True:
                if self._is_behind(ordinal):
                    return
                slots.block_on(slot, sum(1 << rank for rank in self._late(ordinal)))
                time.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
        finally:
            slots.end_wait(slot, outer)

    def _is_behind(self, ordinal: int) -> bool:
        """Say whether every worker that works still has left a share behind; an error if that will never be."""
        self._barrier.check()
        late = self._late(ordinal)
        self._refuse_deadlock(late, ordinal)
        return not late

    def _late(self, ordinal: int) -> list[int]:
        """Return who has not left a share behind, and still may come to it."""
        slots, barrier = self._namespace.slots, self._barrier
        return [
            rank
            for rank in range(self._size)
            if rank != self._rank and slots.get(rank, Slot.SHARES) <= ordinal and not barrier.has_left(rank)
        ]

    def _refuse_deadlock(self, late: list[int], ordinal: int) -> None:
        """Raise if somebody waits in a barrier for this worker, which waits for it."""
        for rank in late:
            if self._barrier.is_waited_in(rank) and not self._barrier.is_waited_in(self._rank):
                slots = self._namespace.slots
                raise DeadlockError(
                    f"rank {self._rank} is at its share number {self._next} and waits for rank {rank}, which is at a "
                    f"barrier and has not left number {ordinal + 1}: all workers call share in the same order",
                    cycle=[slots.name(self._rank), slots.name(rank)],
                )

    # -- taking ------------------------------------------------------------------

    def _take(self, ordinal: int, n: int, chunk: int) -> Iterator[range]:
        """Yield ranges until the share is handed out; a `chunk` of 0 is guided."""
        index, base, parts = _index(ordinal), _tag(ordinal) << _BITS, _PARTS * self._size
        advance = self._words.advance
        try:
            while (piece := advance(index, base, n, parts, chunk)) is not None:
                yield piece
        finally:
            if self._next == ordinal + 1:  # else it was left when the next one began
                self._publish(ordinal + 1)

    def _publish(self, left: int) -> None:
        """Say how many shares this worker has left behind."""
        self._namespace.slots.set(self._rank, Slot.SHARES, left)


def reset(namespace: Namespace) -> None:
    """Empty the ring, while no worker runs; the workers' slots are the team's to empty."""
    for ordinal in range(RING):
        namespace.words.store(_index(ordinal), 0)
        namespace.words.store(_index(ordinal) + 1, 0)


def pieces(n: int, chunk: Chunk) -> Iterator[range]:
    """Return what one worker alone would get: everything, or all in pieces of `chunk`."""
    n, size = check_length(n), check_chunk(chunk) or n
    return (range(start, min(start + size, n)) for start in range(0, n, size or 1))


def _index(ordinal: int) -> int:
    return Team.SHARES + ordinal % RING * LINE


def _tag(ordinal: int) -> int:
    return (ordinal // RING + 1) % _TAGS


def _age(word: int, tag: int) -> int:
    """Return how many turns a word is older than `tag`; less than 0 if it is newer."""
    return (tag - (word >> _BITS) + _TAGS // 2) % _TAGS - _TAGS // 2


def _is_handed_out(place: int, length: int) -> bool:
    """Say whether nothing of an old share is left; a place may still be of the turn before its length."""
    return length & _NUMBER == 0 or (place >> _BITS == length >> _BITS and place >= length)


def check_length(n: int) -> int:
    """Return a number of things to share, or raise."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"a number of things to share is an int, not {n!r}")
    n = operator.index(n)
    if not 0 <= n <= _NUMBER:
        raise ValueError(f"a number of things to share is from 0 to 2**48 - 1, not {n}")
    return n


def check_chunk(chunk: Chunk) -> int:
    """Return the chunk as a number, 0 for a guided one."""
    if chunk == "guided":
        return 0
    if isinstance(chunk, bool | str) or not hasattr(chunk, "__index__"):
        raise TypeError(f"chunk is 'guided' or an int, not {chunk!r}")
    if operator.index(chunk) < 1:
        raise ValueError(f"chunk is 'guided' or an int from 1, not {chunk}")
    return operator.index(chunk)
