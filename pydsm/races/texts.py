"""Lines of text in shared memory, written by one worker and read by all.

A line is there as soon as it is counted, and it is counted when it is whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydsm.native import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Texts"]


class Texts:
    """Lines of text; two words say how many bytes and how many lines there are."""

    def __init__(self, content: NDArray[Any], ends: NDArray[Any]) -> None:
        self._content, self._ends = content, Words(ends)
        self._read: list[str] = []
        self._read_to = 0

    @property
    def count(self) -> int:
        """How many lines there are."""
        return self._ends.load(1)

    def append(self, line: str) -> bool:
        """Add a line; False if it does not fit any more."""
        content = line.encode("utf-8", "backslashreplace") + b"\n"
        start = self._ends.load(0)
        if start + len(content) > len(self._content):
            return False
        self._content[start : start + len(content)] = memoryview(content)
        self._ends.store(0, start + len(content))
        self._ends.add(1, 1)
        return True

    def line(self, number: int) -> str | None:
        """Return a line, or None if it is not there."""
        if number >= len(self._read):
            self._read += self._read_new()
        return self._read[number] if number < len(self._read) else None

    def lines(self) -> list[str]:
        """Return all lines."""
        self._read += self._read_new()
        return list(self._read)

    def clear(self) -> None:
        """Forget all lines, while nobody writes."""
        self._ends.store(1, 0)
        self._ends.store(0, 0)
        self._read, self._read_to = [], 0

    def _read_new(self) -> list[str]:
        stop = self._ends.load(0)
        new = bytes(self._content[self._read_to : stop])
        self._read_to = stop
        return new.decode().splitlines()
