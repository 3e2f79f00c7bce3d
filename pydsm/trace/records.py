"""How an event lies in a worker's file: eight words of 64 bits, written in place.

    word  lock                   barrier      atomic, wait_until     fence       run
    ----  ---------------------  -----------  ---------------------  ----------  ----------
    0     asked                  arrived      began                  when        began
    1     had (0: not yet)       all there    .                      .           .
    2     given back             left         ended                  .           returned
    3     kind:8 | flags:8 | thread:16 | site:32, written last but for words 1 and 2
    4     array id:32 | parts:32              array id | op          array id    .
    5     first row                           position of element    first row   .
    6     row after the last                  the one after          row after   .
    7     leaving began          .            .                      .           .

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share; 0 means
that it has not come to that.  A region of several arrays is several records, one after the other:
the first says how many (`parts`) and has the times, the others are of the kind `PART`.
Rows that are not one interval have -1 as first row, and word 6 is the number of a remark
that lists them.

Because a word is written where it belongs as soon as it is known, the file of a worker
that is killed tells all that it did, and what it was in the middle of.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = ["BYTES", "KIND_BITS", "LISTED", "PARTS_SHIFT", "SITE_SHIFT", "THREAD_SHIFT", "WORDS", "Flag", "Kind"]

WORDS: Final = 8
BYTES: Final = WORDS * 8
KIND_BITS: Final = 8
THREAD_SHIFT: Final = 16
SITE_SHIFT: Final = 32
PARTS_SHIFT: Final = 32
LISTED: Final = -1
"""First row of a record whose rows are listed in a remark."""


class Kind(IntEnum):
    """What a record tells of; 0 is no record."""

    RUN = 1
    LOCK = 2
    PART = 3
    BARRIER = 4
    ATOMIC = 5
    WAIT_UNTIL = 6
    FENCE = 7


class Flag(IntFlag):
    """What else there is to say."""

    SHARED = 1 << KIND_BITS
    FAILED = 2 << KIND_BITS
    GAVE_UP = 4 << KIND_BITS
    FENCED = 8 << KIND_BITS
