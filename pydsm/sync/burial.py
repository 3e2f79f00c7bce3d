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
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Participant, Slot, read_lock_header
from pydsm.errors import SegmentError
from pydsm.ipc import segment
from pydsm.sync import datasegment, undo
from pydsm.sync.lockwords import LockWords
from pydsm.sync.slots import EXCLUSIVE, SlotTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["abandoned_by", "bury", "find_words", "put_back"]

_WORD: Final = np.dtype(np.uint64)


def bury(
    namespace: str, slots: SlotTable, slot: int, found: list[LockWords], wake_all: Callable[[int], None]
) -> list[str]:
    """Put right what the dead participant in `slot` left; the caller holds its byte and buries alone.

    Returns
    -------
    list of str
        What it died in.
    """
    dead = slots.who(slot)
    waits, target, kind = (slots.get(slot, word) for word in (Slot.WAIT, Slot.TARGET, Slot.KIND))
    put_back(namespace, slot, found)
    waiting, held = 0, []
    for words in found:
        waits_here = waits and kind == EXCLUSIVE and target >> 32 == words.array_id
        held.append(words.bury(dead, target & 0xFFFFFFFF if waits_here else None))
        waiting |= sum(1 << other for other in words.waiting())
    slots.vacate(slot)
    wake_all(waiting)  # all, and always: who should have woken somebody may have died before it did
    return [text for text in held if text is not None]


def put_back(namespace: str, slot: int, found: list[LockWords]) -> None:
    """Undo what the participant in a slot was in the middle of."""
    by_id = {words.array_id: words for words in found}

    def attach(array_id: int) -> NDArray[Any] | None:
        words = by_id.get(array_id)
        return _elements(namespace, words) if words is not None else None

    undo.roll_back(namespace, slot, attach)


def abandoned_by(who: Participant, found: Iterable[LockWords]) -> list[str]:
    """Return what a dead participant held and nobody has taken over, as texts."""
    stripes = [(words, [stripe for stripe, dead in words.abandoned().items() if dead == who]) for words in found]
    return [words.full_name(*held) for words, held in stripes if held]


def find_words(namespace: str, known: Iterable[str], mapped: Iterable[LockWords]) -> list[LockWords]:
    """Return the lock words of a namespace: those mapped here, and those of all other names."""
    found = {words.array_id: words for words in mapped}
    for name in known:
        with contextlib.suppress(FileNotFoundError, SegmentError):
            table = segment.attach(names.lock_name(namespace, name), _WORD, shared=True)
            header = read_lock_header(table, name)
            found.setdefault(header.array_id, LockWords(header, table))
    return list(found.values())


def _elements(namespace: str, words: LockWords) -> NDArray[Any] | None:
    """Map an array's elements; None if its name is gone, or another array's by now.

    The name is looked up before and after: an array's lock words are the last of it to
    appear and the first to go.
    """

    def is_named() -> bool:
        table = segment.attach(names.lock_name(namespace, words.name), _WORD, shared=True)
        return read_lock_header(table, words.name).array_id == words.array_id

    with contextlib.suppress(FileNotFoundError, SegmentError):
        if is_named():
            elements = datasegment.attach(namespace, words.description, shared=True)
            if is_named():
                return elements
    return None
