"""Shared NumPy arrays with region locks, fences and barriers for many worker processes."""

from pydsm.array import GlobalArray
from pydsm.cluster import Cluster
from pydsm.errors import (
    BrokenBarrierError,
    DeadlockError,
    LockTimeoutError,
    NameExistsError,
    NoRoomError,
    OwnerDiedError,
    PydsmError,
    SegmentError,
    UnknownNameError,
    WaitTimeoutError,
    WorkerDiedError,
    WorkerError,
)
from pydsm.handles import attach, create, unlink
from pydsm.regions import locked
from pydsm.sync.lock import Lock
from pydsm.sync.locktable import LockStatistics
from pydsm.team import Team
from pydsm.worker import Worker, share, track

__version__ = "2.0.0.dev0"

__all__ = [
    "BrokenBarrierError",
    "Cluster",
    "DeadlockError",
    "GlobalArray",
    "Lock",
    "LockStatistics",
    "LockTimeoutError",
    "NameExistsError",
    "NoRoomError",
    "OwnerDiedError",
    "PydsmError",
    "SegmentError",
    "Team",
    "UnknownNameError",
    "WaitTimeoutError",
    "Worker",
    "WorkerDiedError",
    "WorkerError",
    "attach",
    "create",
    "locked",
    "share",
    "track",
    "unlink",
]
