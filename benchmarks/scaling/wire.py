"""Bytes of messages: the one place that says how large they are.

A message is a head and what it carries.  The numbers are those of the format in which ranks write; a test counts
small runs and says when they are no longer so (``tests/mpi/test_counts.py``), and
``python -m benchmarks.scaling --count`` shows what is counted beside what is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["BLOCK", "HEAD", "KNOWN", "PART", "SLACK", "Part", "acquire", "answer", "asked", "release", "told"]

HEAD: Final = {
    "acquire": 62,
    "answer": 31,
    "atomic": 215,
    "gather": 76,
    "left": 36,
    "meet": 155,
    "pull": 156,
    "push": 42,
    "release": 60,
    "share": 55,
    "wait": 207,
}
"""Bytes of a message that carries nothing, by kind."""
BARE: Final = {"meet": 42, "pull": 37}
"""The same where it asks for no rows at all."""
GRANT: Final = 3
"""What the answer to ``acquire`` and to ``wait`` has besides."""
WANTED: Final = 4
"""A stripe that is asked for: its number, and the version that is known of it."""
GIVEN: Final = 2
"""A stripe that is given back."""
KNOWN: Final = 45
"""What says of which array versions are known..."""
VERSION: Final = 8
"""... and one of them."""
PART: Final = 17
"""What says of which array changes are..."""
POSITION: Final = 8
"""... and where one of them is, with its value behind; a run of neighbours is two of these."""
BLOCK: Final = 208
"""What says of which array whole stripes are..."""
STRIPE: Final = 16
"""... and a stripe's number and version, with its elements behind."""
ROLL: Final = 22
"""What one worker gave, in the answer to ``gather``."""
SLACK: Final = 0.15, 8
"""How far off a message may be: a share of it, and bytes (numbers of many digits take more room than small ones)."""


class Part(NamedTuple):
    """Changes of one array: how many elements, of how many bytes, in how many runs of neighbours."""

    elements: int
    item_bytes: int
    runs: int = 1

    @property
    def size(self) -> int:
        """Bytes of it in a message: positions as runs, where that is shorter."""
        return PART + POSITION * min(self.elements, 2 * self.runs) + self.elements * self.item_bytes


def acquire(stripes: int) -> int:
    """Return the bytes of a wish for stripes."""
    return HEAD["acquire"] + WANTED * stripes


def release(stripes: int, parts: Iterable[Part] = ()) -> int:
    """Return the bytes of what is sent when a region is left."""
    return HEAD["release"] + GIVEN * stripes + sum(part.size for part in parts)


def told(parts: Iterable[Part]) -> int:
    """Return the bytes of a ``push``."""
    return HEAD["push"] + sum(part.size for part in parts)


def asked(kind: str, known: Iterable[int]) -> int:
    """Return the bytes of a request that says which versions are known: so many of each array."""
    arrays = [stripes for stripes in known if stripes]
    head = HEAD[kind] if arrays else BARE.get(kind, HEAD[kind])
    return head + sum(KNOWN + VERSION * stripes for stripes in arrays)


def answer(blocks: Iterable[tuple[int, int]] = ()) -> int:
    """Return the bytes of an answer with stripes: of each array so many, of so many bytes."""
    return HEAD["answer"] + sum(BLOCK + STRIPE * stripes + size for stripes, size in blocks if stripes)
