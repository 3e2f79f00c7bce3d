"""Shared NumPy arrays with region locks, fences and barriers for many worker processes."""

from pydsm.array import GlobalArray, attach, create, unlink
from pydsm.errors import (
    BrokenBarrierError,
    DeadlockError,
    LockTimeoutError,
    NameExistsError,
    NoRoomError,
    PydsmError,
    SegmentError,
    UnknownNameError,
    WorkerDiedError,
    WorkerError,
)
from pydsm.regions import locked

__all__ = [
    "BrokenBarrierError",
    "DeadlockError",
    "GlobalArray",
    "LockTimeoutError",
    "NameExistsError",
    "NoRoomError",
    "PydsmError",
    "SegmentError",
    "UnknownNameError",
    "WorkerDiedError",
    "WorkerError",
    "attach",
    "create",
    "locked",
    "unlink",
]
