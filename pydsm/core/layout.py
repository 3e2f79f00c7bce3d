"""The bytes of the control segments, as tables.

**Team segment** (``pydsm.<namespace>.team``), 64-bit words::

    0 magic      1 version     2 uid        3 pid of the creator (for people)
    4 capacity   5 next id     6 size       7 when created, ns since 1970
    8 arrived    16 generation 24 broken    25 finished       26 somebody died
    32            bell, that workers in the barrier sleep on: bit 0 says that somebody does
    40            bytes that each worker has in the scratch segment, or 0 if there is none
    64 + 8 * e    entry e of the ring of shares: position, then length
    192 + 24 * s  slot s, see `Slot`

**Lock segment** (``pydsm.<namespace>.lock.<name>``)::

    word 0 magic   1 version   2 uid   3 header words   4 stripes   5 lots   6 array id
    word 7 bytes of the description
    words 8-15     totals, see `Total`
    byte 128 ...   the description: JSON, see `describe`
    header words   stripe lines, 8 words each, then lot lines, 8 words each

**Undo segment** (``pydsm.<namespace>.undo.<slot>-<depth>``)::

    word 0 magic   1 version   2 state: 0, or the number of the armed record   3 pieces
    words 4 ...    for each piece: array id, offset, bytes of an element, axes, rows or -1,
                   then the shape, the strides, the row numbers, and the elements

A segment gets its name only when it is complete, so there is no half-made state to see.
"""

from __future__ import annotations

import ast
import functools
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.errors import SegmentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LINE",
    "LOCK_MAGIC",
    "LOTS",
    "MAX_SLOTS",
    "RING",
    "SLOT",
    "TEAM_MAGIC",
    "TEAM_WORDS",
    "UNDO_MAGIC",
    "Description",
    "LockHeader",
    "Participant",
    "Slot",
    "Team",
    "Total",
    "fixed_part",
    "lock_segment",
    "read_lock_header",
    "slot_word",
]

LINE: Final = 8
"""Words of a cache line."""
MAX_SLOTS: Final = 448
"""Participants that a stripe line has bits for."""
LOTS: Final = 64
"""Parking lots of an array: stripes share them, so that they stay in the cache."""
RING: Final = 16
"""Shares of work that the team segment has room for at a time."""
VERSION: Final = 1
TEAM_MAGIC: Final = int.from_bytes(b"pydsm-T\0", "little")
LOCK_MAGIC: Final = int.from_bytes(b"pydsm-L\0", "little")
UNDO_MAGIC: Final = int.from_bytes(b"pydsm-U\0", "little")

_TEAM_HEADER: Final = 64 + RING * LINE
SLOT: Final = 24
TEAM_WORDS: Final = _TEAM_HEADER + MAX_SLOTS * SLOT
_DESCRIPTION: Final = 128
_MAX_STRIPES: Final = 1 << 24


class Team:
    """Words of the team segment's header."""

    MAGIC: Final = 0
    VERSION: Final = 1
    UID: Final = 2
    PID: Final = 3
    CAPACITY: Final = 4
    NEXT_ID: Final = 5
    SIZE: Final = 6
    CREATED: Final = 7
    ARRIVED: Final = 8
    GENERATION: Final = 16
    BROKEN: Final = 24
    FINISHED: Final = 25
    DEAD: Final = 26
    BELL: Final = 32
    SCRATCH: Final = 40
    SHARES: Final = 64  # a line for each entry of the ring, see pydsm.schedule


class Slot:
    """Words of a participant's slot."""

    STATE: Final = 0  # 0 free, 1 taken
    PID: Final = 1
    RANK: Final = 2  # rank + 1, 0 for a thread that is no worker
    WAIT: Final = 3  # 0, or the number of the wait that goes on
    TARGET: Final = 4  # array id << 32 | stripe; 0 in a barrier, 1 in share()
    KIND: Final = 5  # see sync.slots
    CHECKED: Final = 6  # how often the blockers were seen to block still
    PERMIT: Final = 7  # 1: a wake-up is under way
    BLOCKERS: Final = 8  # 7 words, bit s: slot s blocks this wait
    BARRIER: Final = 15  # generation + 1 of the barrier this worker came to last
    DONE: Final = 16  # progress
    TOTAL: Final = 17
    WAITS: Final = 18  # waits so far
    SHARES: Final = 19  # shares of work that this worker has left behind
    REDUCED: Final = 20  # 2 words: what it gives to an even and to an odd reduction
    DIGEST: Final = 22  # 2 words: what these reductions are, see pydsm.reduction


class Total:
    """Words of an array's totals, added to by all workers."""

    ACQUISITIONS: Final = 8
    CONTENDED: Final = 9
    PARKS: Final = 10
    WAITED_NS: Final = 11


def slot_word(slot: int, word: int) -> int:
    """Return the index of a slot's word in the team segment."""
    return _TEAM_HEADER + slot * SLOT + word


@dataclass(frozen=True, slots=True)
class Participant:
    """Who runs in a slot; an abandoned stripe keeps all of it, because slots are used again.

    Examples
    --------
    >>> word = Participant(slot=5, pid=4711, rank=2).abandoned()
    >>> Participant.of_abandoned(word), Participant.of_abandoned(6)
    (Participant(slot=5, pid=4711, rank=2), None)
    """

    slot: int
    pid: int
    rank: int | None

    def abandoned(self) -> int:
        """Return word 0 of a stripe in which it died."""
        return 1 << 63 | (0 if self.rank is None else self.rank + 1) << 48 | self.pid << 16 | self.slot + 1

    @classmethod
    def of_abandoned(cls, word: int) -> Participant | None:
        """Return who died, or None if the word is not of an abandoned stripe."""
        if not word >> 63:
            return None
        rank = (word >> 48 & 0x7FFF) - 1
        return cls((word & 0xFFFF) - 1, word >> 16 & 0xFFFFFFFF, None if rank < 0 else rank)

    def __str__(self) -> str:
        return f"pid {self.pid}" if self.rank is None else f"rank {self.rank} (pid {self.pid})"


@functools.lru_cache(maxsize=256)
def _dtype_of(text: str) -> np.dtype[Any]:
    return np.lib.format.descr_to_dtype(ast.literal_eval(text))


@dataclass(frozen=True, slots=True)
class Description:
    """What an array is, apart from its lock words."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    block: int
    guarded: bool = False
    typed: bool = True
    file: str | None = None
    huge: bool = False

    def numpy_dtype(self) -> np.dtype[Any]:
        """Return the dtype, which the text keeps exactly (fields, byte order, units)."""
        if self.dtype.startswith("'"):
            return _dtype_of(self.dtype)
        return _dtype_of.__wrapped__(self.dtype)  # one of its own: a field's name may be set in place

    @staticmethod
    def text_of(dtype: np.dtype[Any]) -> str:
        """Return `dtype` as text."""
        return repr(np.lib.format.dtype_to_descr(dtype))


@dataclass(frozen=True, slots=True)
class LockHeader:
    """A lock segment's header."""

    words: int
    stripes: int
    lots: int
    array_id: int
    uid: int
    description: Description

    def total_words(self) -> int:
        """Return the size of the segment in words."""
        return self.words + (self.stripes + self.lots) * LINE


def lock_segment(description: Description, stripes: int, array_id: int, uid: int) -> tuple[bytes, int]:
    """Return the header's bytes and the size of the whole segment in words."""
    text = json.dumps(asdict(description)).encode()
    words = -(-(_DESCRIPTION + len(text)) // (LINE * 8)) * LINE
    lots = min(LOTS, 1 << max(0, stripes - 1).bit_length())
    header = np.zeros(words, np.uint64)
    header[:8] = LOCK_MAGIC, VERSION, uid, words, stripes, lots, array_id, len(text)
    content = bytearray(header.tobytes())
    content[_DESCRIPTION : _DESCRIPTION + len(text)] = text
    return bytes(content), words + (stripes + lots) * LINE


def fixed_part(header: NDArray[np.uint64]) -> bytes:
    """Return what of a lock segment's header never changes: all but the totals."""
    return header[: Total.ACQUISITIONS].tobytes() + header[_DESCRIPTION // 8 :].tobytes()


def read_lock_header(words: NDArray[np.uint64], name: str) -> LockHeader:
    """Check a lock segment and return its header.

    Raises
    ------
    SegmentError
        The segment is not one, is of another version, or contradicts its own size.
    """

    def refuse(why: str) -> SegmentError:
        return SegmentError(f"lock segment of {name!r} {why}")

    if len(words) < _DESCRIPTION // 8 or int(words[0]) != LOCK_MAGIC:
        raise refuse("does not begin as one of pydsm's")
    _, version, uid, header_words, stripes, lots, array_id, length = words[:8].tolist()
    if version != VERSION:
        raise refuse(f"has version {version}, this pydsm reads version {VERSION}")
    if not (
        0 < stripes <= _MAX_STRIPES
        and 0 < lots <= LOTS
        and lots & (lots - 1) == 0
        and _DESCRIPTION + length <= header_words * 8
        and header_words + (stripes + lots) * LINE == len(words)
    ):
        raise refuse("contradicts its own size")
    text = words[:header_words].tobytes()[_DESCRIPTION : _DESCRIPTION + length]
    try:
        description = _read_description(text)
        sound = _is_sound(description, name, stripes)
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError, RecursionError, MemoryError) as error:
        raise refuse(f"has an unreadable description ({error})") from None
    if not sound or array_id >> 32:  # a slot's target is id and stripe in one word
        raise refuse("describes an impossible array")
    return LockHeader(header_words, stripes, lots, array_id, uid, description)


@functools.lru_cache(maxsize=256)
def _read_description(text: bytes) -> Description:
    fields = json.loads(text.decode())
    return Description(**{**fields, "shape": tuple(fields["shape"])})


def _is_sound(description: Description, name: str, stripes: int) -> bool:
    """Say whether a description is one that pydsm writes for such a segment."""
    shape, block, file = description.shape, description.block, description.file
    if description.name != name:
        return False
    if not all(type(flag) is bool for flag in (description.guarded, description.typed, description.huge)):
        return False
    if not all(type(extent) is int and extent >= 0 for extent in shape) or type(block) is not int or block < 1:
        return False
    if file is not None and (type(file) is not str or "\0" in file):
        return False
    dtype = description.numpy_dtype()
    if dtype.hasobject or (dtype.itemsize > 0) != bool(shape):
        return False
    return stripes == max(1, -(-(shape or (1,))[0] // block))
