"""What the kernel says about the pages behind an array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["address_of", "resident", "seen_huge"]


def address_of(array: np.ndarray) -> int:
    """Return where an array's first element lies."""
    return array.__array_interface__["data"][0]


def seen_huge(array: np.ndarray) -> int:
    """Return how many bytes of its mapping this process sees as huge pages."""
    return _facts_of(array)["ShmemPmdMapped:"]


def resident(array: np.ndarray) -> int:
    """Return how many bytes of its mapping this process has in its page tables."""
    return _facts_of(array)["Rss:"]


def _facts_of(array: np.ndarray) -> dict[str, int]:
    with open("/proc/self/smaps") as lines:
        return {fields[0]: int(fields[1]) << 10 for fields in _lines_of(lines, address_of(array)) if fields[-1] == "kB"}


def _lines_of(lines: Iterator[str], address: int) -> Iterator[list[str]]:
    found = False
    for line in lines:
        fields = line.split()
        if not fields[0].endswith(":"):
            start, end = (int(part, 16) for part in fields[0].split("-"))
            found = start <= address < end
        elif found:
            yield fields
