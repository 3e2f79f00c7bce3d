"""What a worker publishes when it releases: an interval of its writes, and whom to pass it on to.

An entry of the log, in 64-bit words::

    0 words of it all   1 rank   2 number, or 0 if there are no writes   3 workers
    4 passes            5 diffs  6 ... the clock
    a pass:   kind, id, runs, words of what follows, positions
    a diff:   array id, bytes of an element, runs, positions, words of what follows, positions, values

Positions are written as `diff.write_positions` has them.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pydsm.core.clock import Clock, order
from pydsm.core.diff import Diff, read_positions, units, write_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Interval", "Kind", "Pass", "read_intervals"]

_WORD: Final = 8
_HEAD: Final = 6
_PASS: Final = 4
_DIFF: Final = 5


class Kind(enum.IntEnum):
    """What passes a clock on."""

    EXCLUSIVE = 0
    """An exclusive release of stripes, or a named lock's: to whoever acquires them next."""
    SHARED = 1
    """A shared release of stripes: to whoever acquires them exclusively."""
    ATOMIC = 2
    """An atomic operation on elements: to whoever sees what it left."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Stripes or elements of one array that pass the clock on."""

    kind: Kind
    array_id: int
    which: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Writes of one worker up to a release, in the order of causes; see `clock`.

    Attributes
    ----------
    rank : int
    number : int
        Of the worker's interval; 0 if there are no writes, only a clock that is passed on.
    clock : Clock
        What the worker had heard of, this interval included.
    passes : sequence of Pass
    diffs : mapping of int to Diff
        By array id.
    """

    rank: int
    number: int
    clock: Clock
    passes: Sequence[Pass] = ()
    diffs: Mapping[int, Diff] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        """Place in the line of all intervals."""
        return order(self.clock, self.rank)

    def to_bytes(self, itemsizes: Mapping[int, int]) -> bytes:
        """Return the entry; of each array in it the bytes of an element must be known."""
        parts = [self.clock.tobytes()]
        for given in self.passes:
            runs, positions = write_positions(given.which)
            parts += [_words(given.kind, given.array_id, runs, len(positions)), positions.tobytes()]
        for array_id, diff in self.diffs.items():
            runs, positions = write_positions(diff.positions)
            values = diff.values.tobytes()
            values += bytes(-len(values) % _WORD)
            words = len(positions) + len(values) // _WORD
            parts += [_words(array_id, itemsizes[array_id], runs, len(positions), words), positions.tobytes(), values]
        content = b"".join(parts)
        words = _HEAD + len(content) // _WORD
        size = len(self.clock) - 1
        return _words(words, self.rank, self.number, size, len(self.passes), len(self.diffs)) + content


def read_intervals(content: bytes, but: int | None = None) -> Iterator[Interval]:
    """Yield the entries that follow one another, but not of one rank; their arrays are views of the content."""
    words = np.frombuffer(content, np.int64)
    place = 0
    while place < len(words):
        length = int(words[place])
        if words[place + 1] != but:
            yield _read(words[place : place + length])
        place += length


def _words(*numbers: int) -> bytes:
    return struct.pack(f"{len(numbers)}q", *numbers)


def _read(words: NDArray[np.int64]) -> Interval:
    _, rank, number, size, passes, diffs = words[:_HEAD].tolist()
    place = _HEAD + size + 1
    clock = words[_HEAD:place]
    given, changed = [], {}
    for _ in range(passes):
        kind, array_id, runs, count = words[place : place + _PASS].tolist()
        place += _PASS
        given.append(Pass(Kind(kind), array_id, read_positions(runs, words[place : place + count])))
        place += count
    for _ in range(diffs):
        array_id, itemsize, runs, count, length = words[place : place + _DIFF].tolist()
        place += _DIFF
        positions = read_positions(runs, words[place : place + count])
        raw = words[place + count : place + length].view(np.uint8)[: len(positions) * itemsize]
        changed[array_id] = Diff(positions, units(raw, itemsize))
        place += length
    return Interval(rank, number, clock, given, changed)
