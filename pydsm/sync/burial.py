"""Putting right what a dead participant left: its updates, its locks, its slot.

Nothing of the dead is anybody else's until its burial is through: its words keep naming it,
and name nobody else, because its slot is not free.  One process at a time buries (a kernel
lock, which the kernel takes from a burier that dies), holding the dead one's slot byte, so
nobody can sit down there meanwhile.  Every step may be done again, so the next burier just
begins anew:

1. what it was updating with ``undo=True`` is put back,
2. stripes it held are marked abandoned, its shared holds and its places in lots are cleared,
3. its slot is free, and whoever waits for something looks again.

1 comes before 2: rows that somebody may take over must not be written by a burier any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Slot, Team, read_lock_header
from pydsm.errors import SegmentError
from pydsm.ipc import segment
from pydsm.sync import datasegment, undo
from pydsm.sync.lockwords import LockWords
from pydsm.sync.slots import EXCLUSIVE, SlotTable

__all__ = ["all_words", "bury"]

_WORD: Final = np.dtype(np.uint64)


def bury(
    namespace: str, slots: SlotTable, slot: int, tables: Iterable[LockWords], wake_all: Callable[[int], None]
) -> None:
    """Put right what the dead participant in `slot` left; the caller holds its byte and buries alone."""
    dead = slots.who(slot)
    waits, target, kind = (slots.get(slot, word) for word in (Slot.WAIT, Slot.TARGET, Slot.KIND))
    by_id = {words.array_id: words for words in tables}
    undo.roll_back(namespace, slot, by_id.get, datasegment.attach)
    waiting = 0
    for words in by_id.values():
        waits_here = waits and kind == EXCLUSIVE and target >> 32 == words.array_id
        if words.bury(dead, target & 0xFFFFFFFF if waits_here else None):
            waiting |= sum(1 << other for other in words.waiting())
    slots.words.and_(Team.LOT + slot // 64, ~(1 << slot % 64) & (1 << 64) - 1)
    slots.vacate(slot)
    wake_all(waiting)


def all_words(namespace: str, known: Iterable[str], mapped: Iterable[LockWords]) -> Iterator[LockWords]:
    """Return the lock words of a namespace: those mapped here, and those of all other names."""
    seen = set()
    for words in mapped:
        seen.add(words.array_id)
        yield words
    for name in known:
        with contextlib.suppress(FileNotFoundError, SegmentError):
            table = segment.attach(names.lock_name(namespace, name), _WORD)
            header = read_lock_header(table, name)
            if header.array_id not in seen:
                yield LockWords(header, table)
