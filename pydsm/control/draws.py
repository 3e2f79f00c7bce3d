"""Random numbers whose whole state is one 64-bit word, so that it fits into shared memory.

SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014):
a counter with an odd stride, and a function that scatters it.  The same function makes the
digest of a schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["STRIDE", "WORD", "chain", "draws", "scatter"]

WORD: Final = (1 << 64) - 1
STRIDE: Final = 0x9E3779B97F4A7C15


def scatter(value: int) -> int:
    """Return 64 bits that depend on all bits of `value`, one to one."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & WORD
    return value ^ value >> 31


def chain(digest: int, number: int) -> int:
    """Return the digest of a sequence with one more number at its end."""
    return scatter((digest ^ number) + STRIDE & WORD)


def draws(seed: int) -> Iterator[int]:
    """Yield random numbers of 64 bits for ever.

    Examples
    --------
    >>> import itertools
    >>> [hex(number) for number in itertools.islice(draws(0), 2)]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    state = seed & WORD
    while True:
        state = state + STRIDE & WORD
        yield scatter(state)
