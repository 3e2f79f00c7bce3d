"""Where workers write their events: files without names, which go with the process that has them.

The parent makes two for each worker, one for records and one for remarks, and a worker
reaches them through the parent's descriptors in /proc, however it was started.  So nothing
is left behind when both are killed, and nothing of it is in /dev/shm.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np

from pydsm.trace.records import BYTES, WORDS

__all__ = ["Pad", "Place", "Sheets"]

_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker finds its files, and how many records it may write; it pickles."""

    records: str
    remarks: str
    limit: int


class Sheets:
    """The files of one worker in one run, as the parent has them."""

    def __init__(self, limit: int) -> None:
        self._records, self._remarks = _nameless(), _nameless()
        self._limit = limit

    def place(self) -> Place:
        """Return where the worker finds them, as long as they are open here."""
        records, remarks = (f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (self._records, self._remarks))
        return Place(records, remarks, self._limit)

    def read(self) -> tuple[list[list[int]], list[dict[str, Any]]]:
        """Return the records and the remarks; what a killed worker was writing is left out."""
        self._records.seek(0)
        content = self._records.read()
        table = np.frombuffer(content[: len(content) // BYTES * BYTES], np.int64).reshape(-1, WORDS)
        self._remarks.seek(0)
        lines = self._remarks.read().split(b"\n")[:-1]
        return table[table[:, 3] != 0].tolist(), [json.loads(line) for line in lines]

    def close(self) -> None:
        """Give the files up."""
        self._records.close()
        self._remarks.close()


class Pad:
    """The files of a worker, as it writes them.

    Attributes
    ----------
    words : memoryview
        The records; those before `ready` have their place on the disk, so that a full disk is
        noticed when more is asked for and not at a store.
    """

    def __init__(self, place: Place) -> None:
        self.limit = place.limit * WORDS
        self.ready = 0
        self._records = os.open(place.records, os.O_RDWR | os.O_CLOEXEC)
        self._remarks = os.open(place.remarks, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._records, place.limit * BYTES)
        self._map = mmap.mmap(self._records, place.limit * BYTES)
        self.words = memoryview(self._map).cast("q")

    def reserve(self, word: int) -> bool:
        """Make room up to a word; False if there may be no more, or is none."""
        while self.ready < min(word, self.limit):
            step = min(_STEP, (self.limit - self.ready) * 8)
            try:
                os.posix_fallocate(self._records, self.ready * 8, step)
            except OSError:
                self.limit = self.ready
                return False
            self.ready += step // 8
        return word <= self.limit

    def remark(self, content: dict[str, Any]) -> None:
        """Write something that has no room in a record."""
        line = json.dumps(content, default=_plain).encode() + b"\n"
        while line:
            line = line[os.write(self._remarks, line) :]

    def close(self) -> None:
        """Let go of the files."""
        self.words.release()
        self._map.close()
        os.close(self._records)
        os.close(self._remarks)


def _nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="pydsm-trace-", buffering=0)


def _plain(value: Any) -> Any:
    """Return what JSON knows for what it does not: NumPy's numbers and arrays."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
