"""The only compiled code: atomic words, the steps of a region lock, and undoing."""

from pydsm.native.region import (
    Region,
    RegionGroup,
    Rows,
    StripeLock,
    StripeLocks,
    bind,
    forget_identity,
    held,
    locked,
    waits,
)
from pydsm.native.undo import UndoRecord
from pydsm.native.words import (
    REFUSED,
    THROUGH,
    ByteLock,
    Meeting,
    Words,
    die_with_parent,
    fence,
    hold_signals,
    restore_signals,
)

__all__ = [
    "REFUSED",
    "THROUGH",
    "ByteLock",
    "Meeting",
    "Region",
    "RegionGroup",
    "Rows",
    "StripeLock",
    "StripeLocks",
    "UndoRecord",
    "Words",
    "bind",
    "die_with_parent",
    "fence",
    "forget_identity",
    "held",
    "hold_signals",
    "locked",
    "restore_signals",
    "waits",
]
