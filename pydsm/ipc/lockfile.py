"""Who is alive: kernel locks on a file, because process numbers prove nothing.

A pid is reused, a zombie still has one, and another pid namespace shows other numbers.
A lock on an open file description (OFD lock, Linux 3.15) vanishes exactly when the last
descriptor of it is closed, which the kernel does for the dead.  So of each process that
takes part in a namespace, one open file description of the namespace's lock file holds:

==================  ==========  ==============================================
byte                mode        meaning
==================  ==========  ==============================================
slot number         exclusive   this process runs the thread in that slot
``_MEMBER``         shared      this process has the namespace open
``_CREATE``         exclusive   this process makes or removes names just now
``_BURY``           exclusive   this process puts right what a dead one left
``_PASS``           shared      this process waited until nobody had the whole file
==================  ==========  ==============================================

Whoever can lock the *whole* file has proven that nobody takes part any more.  The file is
born locked: made without a name (O_TMPFILE), locked, then linked.

A forked child inherits the parent's description and with it the parent's locks; it must
`reopen` at once, or the parent would seem alive as long as the child is.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import threading
from typing import Final

from pydsm.ipc import shm
from pydsm.native import ByteLock

__all__ = ["LockFile"]

_MEMBER: Final = 1 << 20
_CREATE: Final = _MEMBER + 1
_BURY: Final = _MEMBER + 2
_PASS: Final = _MEMBER + 3
_WHOLE: Final = (0, 0)
_FLOCK: Final = "hhqqi4x"  # l_type, l_whence, l_start, l_len, l_pid with native padding


class LockFile:
    """One process's open file description of a namespace's lock file."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self._creating, self._burying = threading.RLock(), threading.RLock()

    @classmethod
    def born_locked(cls, descriptor: int, name: str) -> LockFile:
        """Adopt the descriptor of a new file that has no name yet, and become a member."""
        file = cls(descriptor, name)
        file._lock(fcntl.F_RDLCK, _MEMBER, 1)
        return file

    @classmethod
    def open(cls, name: str, *, shared: bool = False) -> LockFile | None:
        """Open a namespace's lock file as a member; None if it is not there (any more)."""
        try:
            descriptor = shm.open_checked(name, shared=shared)
        except FileNotFoundError:
            return None
        file = cls(descriptor, name)
        # A reclaimer holds the whole file for a moment: wait for it, then look again.
        file._lock(fcntl.F_RDLCK, _MEMBER, 1, wait=True)
        if not file.has_name():
            file.close()
            return None
        return file

    def reopen(self) -> None:
        """Get a description of one's own, in a child that inherited its parent's."""
        inherited, self.descriptor = self.descriptor, -1
        self._creating, self._burying = threading.RLock(), threading.RLock()
        try:
            own = os.open(f"/proc/self/fd/{inherited}", os.O_RDWR | os.O_CLOEXEC)
        finally:
            os.close(inherited)
        self.descriptor = own
        self._lock(fcntl.F_RDLCK, _MEMBER, 1, wait=True)

    def close(self) -> None:
        """Give up everything this process holds."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def permissions(self) -> shm.Permissions:
        """Return who may use the file, and so the namespace."""
        found = os.fstat(self.descriptor)
        return {"mode": stat.S_IMODE(found.st_mode), "group": found.st_gid}

    def has_name(self) -> bool:
        """Say whether the file in the directory still is this one."""
        try:
            named = shm.status(self.name)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self.descriptor))

    def hold_slot(self, slot: int) -> bool:
        """Say that this process runs the thread in `slot`; False if another process does."""
        return self._lock(fcntl.F_WRLCK, slot, 1)

    def leave_slot(self, slot: int) -> None:
        """Take that back."""
        self._lock(fcntl.F_UNLCK, slot, 1)

    def leave_all(self) -> None:
        """Take part no more, though the file stays open."""
        self._lock(fcntl.F_UNLCK, *_WHOLE)

    def is_held_elsewhere(self, slot: int) -> bool:
        """Say whether a living process other than this one runs the thread in `slot`."""
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0)
        answer = fcntl.fcntl(self.descriptor, fcntl.F_OFD_GETLK, request)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def prove_alone(self) -> bool:
        """Say whether no other process takes part; if so, nobody can begin to until `close`."""
        return self._lock(fcntl.F_WRLCK, *_WHOLE)

    def is_joined(self) -> bool:
        """Say whether another process takes part: one that only has the whole file for a moment does not."""
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, _MEMBER + 1, 0)
        kind, _, start, length, _ = struct.unpack(_FLOCK, fcntl.fcntl(self.descriptor, fcntl.F_OFD_GETLK, request))
        return kind != fcntl.F_UNLCK and (start, length) != _WHOLE

    def let_pass(self) -> None:
        """Wait until no other process has the whole file, without taking part."""
        self._lock(fcntl.F_RDLCK, _PASS, 1, wait=True)
        self._lock(fcntl.F_UNLCK, _PASS, 1)

    def creating(self) -> ByteLock:
        """Be the only one in the namespace who makes or removes names, inside ``with``."""
        return ByteLock(self.descriptor, _CREATE, self._creating, wait=True)

    def burying(self) -> ByteLock:
        """Be the only one who puts right what a dead one left, if no other process is at it."""
        return ByteLock(self.descriptor, _BURY, self._burying, wait=False)

    def holding_slot(self, slot: int) -> ByteLock:
        """Be the one in a slot, if it is nobody's, inside ``with``."""
        return ByteLock(self.descriptor, slot, self._burying, wait=False)

    def _lock(self, kind: int, start: int, length: int, *, wait: bool = False) -> bool:
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)
        try:
            fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: somebody else holds it
            return False
        return True
