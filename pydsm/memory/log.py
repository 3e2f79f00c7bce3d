"""The log of a team whose workers have replicas: what each has published, in one order.

Two files in shared memory take turns: while the writes of one *epoch* (from barrier to
barrier) are in the one, the other is empty.  They are only read and written, never
mapped, so that a full disk is an error and not a signal.  A segment of words says which epoch
it is, and where each file ends.

Whoever appends holds a kernel lock, which a death gives back, and moves the end last, so a
death in the middle leaves nothing.  Whoever reads needs no lock: what is before the end
stays as it is until all have met in a barrier.

An epoch is *closed* by one worker while all are in a barrier, when its writes are at home.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from pydsm.core import names
from pydsm.ipc import segment, shm
from pydsm.native import ByteLock, Words

if TYPE_CHECKING:
    from types import TracebackType

    from pydsm.sync.namespace import Namespace

__all__ = ["EventLog"]

_WORD: Final = np.dtype(np.uint64)
_EPOCH: Final = 0
_ENDS: Final = (8, 16)  # each in a cache line of its own
_WORDS: Final = 24
_LOCK: Final = 0
_open: weakref.WeakSet[EventLog] = weakref.WeakSet()


class EventLog:
    """The log as one process has it open; inside ``with`` it is this thread's alone.

    Parameters
    ----------
    namespace : Namespace
        Of a team whose log was made by `create`.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._descriptors: list[int] = []
        shared = namespace.is_shared
        control = _name(namespace, "words")
        self._words = Words(segment.attach(control, _WORD, (_WORDS,), shared=shared))
        try:
            self._descriptors += [shm.open_checked(control, shared=shared)]
            self._descriptors += [shm.open_checked(_name(namespace, str(turn)), shared=shared) for turn in range(2)]
        except BaseException:
            self.close()
            raise
        self._guard = threading.RLock()
        self._lock = ByteLock(self._descriptors[0], _LOCK, self._guard, wait=True)
        self._depth = 0
        _open.add(self)

    @classmethod
    def create(cls, namespace: Namespace) -> EventLog:
        """Make the log of a team."""
        segment.create(_name(namespace, "words"), (_WORDS,), _WORD, **namespace.permissions)
        for turn in range(2):
            descriptor = shm.new_file(0, **namespace.permissions)
            try:
                shm.link(descriptor, _name(namespace, str(turn)))
            finally:
                os.close(descriptor)
        return cls(namespace)

    # -- alone -------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._guard.acquire()
        try:
            if self._depth == 0:
                self._lock.__enter__()
            self._depth += 1
        except BaseException:
            self._guard.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._lock.__exit__(kind, error, trace)
        self._guard.release()

    # -- what is in it -----------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of the epoch that is not closed."""
        return self._words.load(_EPOCH)

    def append(self, content: bytes) -> None:
        """Add an entry to the epoch that is not closed; the caller is alone.

        Raises
        ------
        NoRoomError
        """
        turn = self.epoch % 2
        end = self._words.load(_ENDS[turn])
        try:
            _write(self._descriptors[1 + turn], content, end)
        except OSError as error:
            raise shm.explain(error, len(content)) from None
        self._words.store(_ENDS[turn], end + len(content))

    def read(self, epoch: int, start: int = 0, stop: int | None = None) -> bytes:
        """Return what an epoch has from byte `start` on, or up to `stop`; the epoch is this one or the one before."""
        turn = epoch % 2
        return _read(self._descriptors[1 + turn], start, self._words.load(_ENDS[turn]) if stop is None else stop)

    def close_epoch(self) -> None:
        """Begin the next epoch, with nothing in it; the caller is alone, and all workers are in a barrier."""
        following = self.epoch + 1
        self._empty(following % 2)
        self._words.store(_EPOCH, following)

    def reset(self) -> None:
        """Begin anew, while no worker runs."""
        for turn in range(2):
            self._empty(turn)
        self._words.store(_EPOCH, 0)

    def _empty(self, turn: int) -> None:
        self._words.store(_ENDS[turn], 0)
        os.ftruncate(self._descriptors[1 + turn], 0)

    # -- the end -----------------------------------------------------------------

    def close(self) -> None:
        """Leave; the names go with the namespace."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def _name(namespace: Namespace, part: str) -> str:
    return names.observe_name(namespace.name, f"log-{part}")


def _write(descriptor: int, content: bytes, place: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, place)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest, place = rest[written:], place + written


def _read(descriptor: int, start: int, stop: int) -> bytes:
    content = os.pread(descriptor, stop - start, start) if stop > start else b""
    while len(content) < stop - start:  # a call reads 2 GiB at most
        content += os.pread(descriptor, stop - start - len(content), start + len(content))
    return content


def _after_fork() -> None:
    """Leave, in a child: it inherited the parent's lock, which must not outlive the parent."""
    for log in list(_open):
        log.close()


os.register_at_fork(after_in_child=_after_fork)
