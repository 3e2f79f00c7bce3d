"""Bytes of messages: the one place that says how large they are.

A message is a head and what it carries.  The numbers are those of the format in which ranks write; a test counts
small runs and says when they are no longer so (``tests/mpi/test_counts.py``), and
``python -m benchmarks.scaling --count`` shows what is counted beside what is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = [
    "HEAD",
    "PACKED",
    "PICKLED",
    "VERSION",
    "Part",
    "acquire",
    "answer",
    "asked",
    "fetch",
    "granted",
    "release",
    "store",
    "told",
    "update",
]

HEAD: Final = {
    "acquire": 28,
    "grant": 28,
    "push": 28,
    "release": 28,
    "answer": 31,
    "atomic": 230,
    "fetch": 28,
    "gather": 76,
    "left": 36,
    "meet": 52,
    "pull": 48,
    "share": 55,
    "store": 28,
    "update": 28,
    "wait": 222,
}
"""Bytes of a message that carries nothing, by kind; ``grant`` is the answer to ``acquire``, ``fetch`` and ``store``."""
PACKED: Final = {"acquire", "fetch", "push", "release", "store", "update"}
"""Kinds whose sizes are exact."""
PICKLED: Final = 12
"""By how many bytes a message of another kind may be larger or smaller: numbers of many digits take more room."""
BARE: Final = {"meet": 42, "pull": 37}
"""The head where a message asks for no rows at all."""
RUN: Final = 16
"""Which stripes are meant, or given back: an array or a first one, and how many..."""
VERSION: Final = 8
"""... and for each of them its version or number."""
KNOWN: Final = 13
"""What says besides of which array that is, in a message that asks about all of them."""
PART: Final = 16
"""What says of which array changes are..."""
RECORD: Final = 16
"""... and where a run of neighbouring elements is, with their values behind."""
STRIPE: Final = 16
"""A stripe's number and version, with its elements behind."""
BLOCK: Final = 15
"""What says of which array stripes are, in an answer about all of them."""
SEEN: Final = 5
"""What the answer to ``wait`` has besides."""
UPDATE: Final = 35
"""What ``update`` has besides its head: lengths, and "add"..."""
PLACE: Final = 8
"""... and where each element is, unless they are neighbours."""
ROLL: Final = 22
"""What one worker gave, in the answer to ``gather``."""


class Part(NamedTuple):
    """Changes of one array: how many elements, of how many bytes, in how many runs of neighbours."""

    elements: int
    item_bytes: int
    runs: int = 1

    @property
    def size(self) -> int:
        """Bytes of it in a message."""
        return PART + RECORD * self.runs + self.elements * self.item_bytes


def acquire(stripes: int) -> int:
    """Return the bytes of a wish for neighbouring stripes."""
    return HEAD["acquire"] + RUN + VERSION * stripes


def granted(stripes: int = 0, size: int = 0) -> int:
    """Return the bytes of the answer to a wish, with so many stripes, of so many bytes."""
    return HEAD["grant"] + STRIPE * stripes + size


def release(stripes: int, parts: Iterable[Part] = ()) -> int:
    """Return the bytes of what is sent when a region is left."""
    return HEAD["release"] + RUN + VERSION * stripes + sum(part.size for part in parts)


def fetch() -> int:
    """Return the bytes of a wish for a few neighbouring elements."""
    return HEAD["fetch"] + RUN


def store(size: int) -> int:
    """Return the bytes of a few neighbouring elements that are put, of so many bytes."""
    return HEAD["store"] + RECORD + size


def told(parts: Iterable[Part]) -> int:
    """Return the bytes of a ``push``."""
    return HEAD["push"] + sum(part.size for part in parts)


def update(elements: int, item_bytes: int, *, neighbours: bool = True) -> int:
    """Return the bytes of one value for so many elements."""
    return HEAD["update"] + UPDATE + item_bytes + (0 if neighbours else PLACE * elements)


def asked(kind: str, known: Iterable[int]) -> int:
    """Return the bytes of a request that says which versions are known: so many of each array."""
    arrays = [stripes for stripes in known if stripes]
    head = HEAD[kind] if arrays else BARE.get(kind, HEAD[kind])
    return head + sum(KNOWN + RUN + VERSION * stripes for stripes in arrays)


def answer(blocks: Iterable[tuple[int, int]] = ()) -> int:
    """Return the bytes of any other answer with stripes: of each array so many, of so many bytes."""
    return HEAD["answer"] + sum(BLOCK + STRIPE * stripes + size for stripes, size in blocks if stripes)
