"""Updates that happen as a whole or not at all: what rows were is kept in shared memory.

Before the body of ``with A.locked(rows, undo=True)`` runs, the bits of its rows are copied
into a segment of the participant's, and one store arms the copy; a clean exit disarms it
with one store before the locks are released (the commit).  If the body raises, the rows are
put back first.  If the process dies, whoever buries it puts them back before anybody else
can have them.  This is the undo log of databases (Gray and Reuter, 1993, chapter 10) with
the kernel's own guarantee that memory outlives a process, so nothing has to reach a disk.

A segment holds one record, for one depth of nesting; a region deep inside another has the
next one.  Records carry ascending numbers and are put back latest first.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import UNDO_MAGIC, VERSION
from pydsm.core.region import intervals_of
from pydsm.errors import SegmentError
from pydsm.ipc import catalog, segment, shm
from pydsm.native import Region, UndoRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.ipc.shm import Permissions

__all__ = ["UndoLog", "roll_back"]

_STATE: Final = 2
_PIECES: Final = 3
_FIRST: Final = 4
_WORD: Final = np.dtype(np.int64)
_SMALLEST: Final = 512
_ALL: Final = -1
_MAX_AXES: Final = 64


class UndoLog:
    """The records of one participant.

    With `private`, because what the participant writes is seen by nobody before it leaves its
    rows, others only learn that a record is armed: its death undoes the update.
    """

    def __init__(self, namespace: str, slot: int, permissions: Permissions, *, private: bool = False) -> None:
        self._namespace, self._slot, self._permissions, self._private = namespace, slot, permissions, private
        self._segments: list[NDArray[Any]] = []
        self._users: list[weakref.ref[UndoRecord] | None] = []
        self._numbers = itertools.count(1)

    def save(self, regions: list[Region]) -> UndoRecord:
        """Copy the regions' elements; the record counts when it is armed.

        Raises
        ------
        ValueError
            The array is attached read-only.
        NoRoomError
        """
        pieces = [_Piece.of_region(region) for region in regions]
        depth = self._free_depth()
        words = _FIRST + sum(piece.words() for piece in pieces)
        table = self._room(depth, _FIRST if self._private else words)
        table[_PIECES] = 0 if self._private else len(pieces)
        room = np.empty(words, _WORD) if self._private else table
        place, copies = _FIRST, []
        for piece in pieces:
            copies.append((piece.part, piece.rows, piece.write(room, place)))
            place += piece.words()
        record = UndoRecord(table[_STATE : _STATE + 1], next(self._numbers), copies)
        self._users[depth] = weakref.ref(record)
        return record

    def remove(self) -> None:
        """Remove the segments: the participant leaves."""
        for depth in range(len(self._segments)):
            shm.unlink(names.undo_name(self._namespace, self._slot, depth))

    def _free_depth(self) -> int:
        for depth, user in enumerate(self._users):
            if (user is None or user() is None) and not self._segments[depth][_STATE]:
                return depth
        return len(self._users)

    def _room(self, depth: int, words: int) -> NDArray[Any]:
        """Return a segment of at least so many words for the depth."""
        if depth < len(self._segments) and len(self._segments[depth]) >= words:
            return self._segments[depth]
        name = names.undo_name(self._namespace, self._slot, depth)
        shm.unlink(name)  # a smaller one, not armed; or one that somebody left who had the slot before
        content = np.array([UNDO_MAGIC, VERSION], _WORD).tobytes()  # whoever finds it knows at once what it is
        size = max(_SMALLEST, 1 << (words - 1).bit_length())
        table = segment.create(name, (size,), _WORD, content, **self._permissions)
        if depth == len(self._segments):
            self._segments.append(table)
            self._users.append(None)
        self._segments[depth] = table
        return table


def roll_back(namespace: str, slot: int, attach: Callable[[int], NDArray[Any] | None]) -> None:
    """Put back what a participant was in the middle of, latest record first.

    Parameters
    ----------
    namespace : str
    slot : int
        Whose byte of the lock file the caller holds.
    attach : callable
        Maps the elements of the array with an id; None if it has no name any more: whoever
        has it mapped keeps it as it is.
    """
    segments = dict(_segments_of(namespace, slot))
    armed = [table for table in segments.values() if table[_STATE]]
    for table in sorted(armed, key=lambda table: int(table[_STATE]), reverse=True):
        try:
            for array_id, piece, copy in list(_read(table)):  # all of it, or nothing
                data = attach(array_id)
                if data is not None:
                    piece.put_back(data, copy)
        except (ValueError, TypeError, IndexError, OverflowError):
            pass  # a damaged record: the rows are abandoned as they are
        table[_STATE] = 0
    catalog.remove_names(list(segments))


def _segments_of(namespace: str, slot: int) -> Iterator[tuple[str, NDArray[Any]]]:
    prefix = names.undo_name(namespace, slot, 0)[:-1]
    for file in catalog.files_of(namespace):
        if file.startswith(prefix):
            try:
                table = segment.attach(file, _WORD, shared=True)  # of a namespace that this process is in
            except (FileNotFoundError, SegmentError):
                continue
            if len(table) > _FIRST and table[0] == UNDO_MAGIC and table[1] == VERSION:
                yield file, table


class _Piece:
    """Elements of one array: a strided view of its bytes, and which rows of that."""

    def __init__(self, array_id: int, offset: int, part: NDArray[Any], rows: NDArray[Any] | None) -> None:
        self.array_id, self.offset, self.part, self.rows = array_id, offset, part, rows
        self.count = len(part) if rows is None and part.ndim else 1 if rows is None else len(rows)

    @classmethod
    def of_region(cls, region: Region) -> _Piece:
        offset, part, key = region.elements()
        rows = None
        if key is not None:
            runs = intervals_of(key, len(part))
            rows = np.concatenate([np.arange(start, stop) for start, stop in runs.tolist()] or [runs.reshape(-1)])
        return cls(region.locks.policy.array_id, offset, part, rows)

    def shape(self) -> tuple[int, ...]:
        return (self.count, *self.part.shape[1:]) if self.part.ndim else ()

    def words(self) -> int:
        head = 5 + 2 * self.part.ndim + (0 if self.rows is None else self.count)
        return head + -(-math.prod(self.shape()) * self.part.itemsize // 8)

    def write(self, table: NDArray[Any], place: int) -> NDArray[Any]:
        """Write it down; return the copy of the elements in the table."""
        part, rows = self.part, self.rows
        head = [self.array_id, self.offset, part.itemsize, part.ndim, _ALL if rows is None else len(rows)]
        head += [*part.shape, *part.strides]
        table[place : place + len(head)] = head
        place += len(head)
        if rows is not None:
            table[place : place + len(rows)] = rows
            place += len(rows)
        copy = self.copy_in(table, place)
        copy[...] = part if rows is None else part[rows]
        return copy

    def copy_in(self, table: NDArray[Any], place: int) -> NDArray[Any]:
        size = math.prod(self.shape()) * self.part.itemsize
        return table[place:].view(np.uint8)[:size].view(self.part.dtype).reshape(self.shape())

    def put_back(self, data: NDArray[Any], copy: NDArray[Any]) -> None:
        """Write the copy over the elements of the array, attached anew."""
        if self.part.size == 0:
            return
        raw = data.reshape(-1).view(np.uint8)
        part: NDArray[Any] = np.ndarray(self.part.shape, self.part.dtype, raw, self.offset, self.part.strides)
        part[... if self.rows is None else self.rows] = copy


def _read(table: NDArray[Any]) -> Iterator[tuple[int, _Piece, NDArray[Any]]]:
    place = _FIRST
    for _ in range(int(table[_PIECES])):
        array_id, offset, itemsize, ndim, count = table[place : place + 5].tolist()
        if not 0 < itemsize <= table.nbytes or not 0 <= ndim <= _MAX_AXES or count < _ALL:
            raise ValueError("this is no undo record")
        place += 5
        shape, strides = table[place : place + ndim].tolist(), table[place + ndim : place + 2 * ndim].tolist()
        place += 2 * ndim
        rows = None
        if count != _ALL:
            rows = table[place : place + count]
            place += count
        # Only its layout is used: the elements are attached by whoever puts them back.
        layout = np.lib.stride_tricks.as_strided(np.empty(1, f"V{itemsize}"), shape, strides, writeable=False)
        piece = _Piece(array_id, offset, layout, rows)
        copy = piece.copy_in(table, place)
        place += -(-copy.nbytes // 8)
        yield array_id, piece, copy
