"""Shared NumPy arrays with region locks, fences and barriers for many worker processes.

| `Team`, `Cluster`: worker processes that share arrays; `Cluster` has the original API's names.
| `create`, `attach`, `unlink`: arrays by name, between unrelated programs.
| ``with A.locked(rows)``, `locked`: hold rows of one array, or of several.
| ``A.fetch_add(i, 1)``, ``A.compare_and_swap``, ``A.accumulate(rows, values)``: atomic, without locks.
| ``A.wait_until(i, "==", 1)``, ``A.store_release(i, 1)``, ``A.fence()``: one worker after another.
| ``worker.barrier()``, ``worker.allreduce(x)``, ``worker.split(n)``, `share`: all workers together.

See `Team` and `GlobalArray` for more, and docs/ for what is promised.
"""

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
    RaceError,
    SegmentError,
    UnknownNameError,
    WaitTimeoutError,
    WorkerDiedError,
    WorkerError,
)
from pydsm.handles import attach, create, unlink
from pydsm.races.marks import racy
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
    "RaceError",
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
    "racy",
    "share",
    "track",
    "unlink",
]
