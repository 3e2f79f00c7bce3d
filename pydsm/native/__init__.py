"""The only compiled code: atomic words and the steps of a region lock."""

from pydsm.native.region import Region, Rows, StripeLock, StripeLocks, bind, held, locked
from pydsm.native.words import Words, die_with_parent, fence, hold_signals, restore_signals

__all__ = [
    "Region",
    "Rows",
    "StripeLock",
    "StripeLocks",
    "Words",
    "bind",
    "die_with_parent",
    "fence",
    "held",
    "hold_signals",
    "locked",
    "restore_signals",
]
