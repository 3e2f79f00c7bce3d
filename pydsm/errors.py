"""The error tree: every error is also the builtin that people already catch.

Each error keeps its facts as attributes and survives pickling, because errors travel
from workers to the parent.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = [
    "BrokenBarrierError",
    "DeadlockError",
    "LockTimeoutError",
    "NameExistsError",
    "NoRoomError",
    "OwnerDiedError",
    "PydsmError",
    "RaceError",
    "SegmentError",
    "UnknownNameError",
    "WaitTimeoutError",
    "WorkerDiedError",
    "WorkerError",
]


def _rebuild(cls: type[PydsmError], message: str, facts: dict[str, Any]) -> PydsmError:
    return cls(message, **facts)


class PydsmError(Exception):
    """Base of all errors that pydsm raises on purpose."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.__dict__.update(facts)
        self._facts = facts

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self._facts)


class NameExistsError(PydsmError, FileExistsError, KeyError):
    """The name is taken in its namespace, or reserved."""


class UnknownNameError(PydsmError, FileNotFoundError, KeyError):
    """Nothing of that name exists; the message lists what does."""


class SegmentError(PydsmError, OSError):
    """A shared segment is not one that pydsm made, or was damaged or removed."""


class NoRoomError(PydsmError, MemoryError):
    """The array would not fit; nothing was created.  Facts: ``wanted``, ``free`` (bytes)."""

    wanted: int
    free: int


class LockTimeoutError(PydsmError, TimeoutError):
    """The rows were not had in time.  Facts: ``name``, ``rows``, ``holders`` (list of str)."""


class WaitTimeoutError(PydsmError, TimeoutError):
    """An element did not become what was waited for in time.  Facts: ``name``."""


class DeadlockError(PydsmError, RuntimeError):
    """Waiting on would close a cycle of holders.  Facts: ``cycle`` (list of str)."""


class OwnerDiedError(PydsmError, RuntimeError):
    """Somebody died inside the rows.  Facts: ``name``, ``rows``, ``holder`` (str), ``rank`` (or None), ``pid``."""

    rank: int | None
    pid: int


class BrokenBarrierError(PydsmError, threading.BrokenBarrierError):
    """The barrier can never be complete, because a worker failed or has returned."""


class RaceError(PydsmError, RuntimeError):
    """A worker's access is one side of a data race, and it was asked to halt at the first.  Facts: ``race``."""

    race: Any


class WorkerError(PydsmError, RuntimeError):
    """A worker raised.  Facts: ``rank`` and ``remote_traceback`` (text); the cause is the exception itself."""

    rank: int
    remote_traceback: str


class WorkerDiedError(WorkerError):
    """A worker ended without returning.

    Facts: ``rank``, ``exitcode`` (negative: a signal), ``held`` (list of str: rows and locks
    that it died in), ``remote_traceback`` (where it was, if it could still say so).
    """

    exitcode: int
    held: list[str]


for _name in __all__:
    globals()[_name].__module__ = "pydsm"  # where people find it, and what tracebacks say
