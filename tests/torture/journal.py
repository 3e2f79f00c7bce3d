"""What workers say they did, kept where their death cannot take it away.

Each worker appends records of a fixed size, one ``write`` each, to a file of its own in
memory.  A write that has returned is there for good; a kill during it leaves a whole
record, or a piece at the end that the reader drops.
"""

from __future__ import annotations

import os
import struct

import numpy as np

__all__ = [
    "ABORT",
    "DONE",
    "EXCLUSION",
    "INTENT",
    "MAX_ROWS",
    "REFUSED",
    "RESOLVED",
    "TAKEN_OVER",
    "TORN",
    "Journal",
    "memory_file",
]

INTENT, DONE, ABORT, RESOLVED, TAKEN_OVER, REFUSED, EXCLUSION, TORN = range(1, 9)
"""Kinds of records: before the enter; after the exit; it was given up and changed nothing;
what became of a dead one's intent; a region was taken over from the dead; OwnerDiedError was
raised; somebody else was inside, or a holder was robbed; a row was found half-written."""

MAX_ROWS = 6
_RECORD = struct.Struct("=BBBBIqqqq6H12x")
RECORD = np.dtype(
    {
        "names": ["kind", "what", "count", "mask", "seq", "begin", "end", "extra", "rows"],
        "formats": ["u1", "u1", "u1", "u1", "i8", "i8", "i8", "i8", f"{MAX_ROWS}u2"],
        "offsets": [0, 1, 2, 3, 8, 16, 24, 32, 40],
        "itemsize": 64,
    }
)
assert _RECORD.size == RECORD.itemsize


def memory_file(name: str) -> int:
    """Return a file in memory that everything is appended to, by however many threads and processes."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    try:  # its own description has a position that two threads may read before either moves it
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    finally:
        os.close(descriptor)


class Journal:
    """The records of one lane; each of its workers writes, the driver reads when that one has ended."""

    def __init__(self, name: str) -> None:
        self.descriptor = memory_file(name)

    def write(
        self,
        kind: int,
        what: int = 0,
        *,
        seq: int = 0,
        rows: tuple[int, ...] = (),
        mask: int = 0,
        begin: int = 0,
        end: int = 0,
        extra: int = 0,
    ) -> None:
        """Append a record; `mask` says which of the rows it is about."""
        padded = rows + (0,) * (MAX_ROWS - len(rows))
        os.write(self.descriptor, _RECORD.pack(kind, what, len(rows), mask, 0, seq, begin, end, extra, *padded))

    def consume(self) -> np.ndarray:
        """Return the records and empty the journal; only when its writer has ended."""
        size = os.fstat(self.descriptor).st_size // _RECORD.size * _RECORD.size
        content = os.pread(self.descriptor, size, 0)
        os.ftruncate(self.descriptor, 0)
        return np.frombuffer(content, RECORD)

    def close(self) -> None:
        os.close(self.descriptor)
