"""Named semaphores that threads sleep on: the only importer of posix_ipc.

A semaphore only wakes; the truth is in the lock words.  posix_ipc turns every handled
signal that arrives during a wait into an error of its own and loses an exception that the
handler raised.  So signals are held back while a thread is parked (parks are short) and
their handlers run right after it, in the thread's own code.

A semaphore is a file of a few bytes.  sem_open would make it under a name of its own choice,
which nobody can tell the owner of if its maker is killed just then, and with what the umask
leaves of the mode.  So pydsm makes the file as it makes its segments, with the bytes that
sem_init gives, and leaves to sem_open only to map it; since that maps whatever it finds,
the file is looked at first.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from typing import Final

import posix_ipc

from pydsm.errors import SegmentError
from pydsm.ipc import shm
from pydsm.native import hold_signals, restore_signals

__all__ = ["Semaphore", "unlink"]

_SIZE: Final = 32  # of glibc's sem_t where a word has 64 bits


class Semaphore:
    """A counter to sleep on."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: posix_ipc.Semaphore) -> None:
        self._semaphore = semaphore

    @classmethod
    def create(cls, name: str, mode: int = 0o600) -> Semaphore:
        """Create a semaphore with exactly that mode; it appears only when it is complete.

        Raises
        ------
        FileExistsError, NoRoomError
        """
        descriptor = shm.new_file(_SIZE, mode)
        try:
            os.pwrite(descriptor, _fresh(), 0)
            shm.link(descriptor, _file_of(name))
            try:
                return cls._map(name, descriptor)
            except BaseException:
                shm.unlink(_file_of(name))
                raise
        finally:
            os.close(descriptor)

    @classmethod
    def open(cls, name: str, *, shared: bool = False) -> Semaphore:
        """Open an existing one.

        Raises
        ------
        FileNotFoundError
            There is none.
        SegmentError
            It is not one, or another user's; with `shared` one that its group shares will do.
        """
        descriptor = shm.open_checked(_file_of(name), shared=shared)
        try:
            if os.fstat(descriptor).st_size != _SIZE:
                raise SegmentError(f"{shm.path_of(_file_of(name))} is no semaphore")
            return cls._map(name, descriptor)
        finally:
            os.close(descriptor)

    @classmethod
    def _map(cls, name: str, descriptor: int) -> Semaphore:
        """Map the file of that name, which must be the one that was looked at."""
        try:
            mapped = cls(posix_ipc.Semaphore(name))
        except posix_ipc.ExistentialError:
            raise FileNotFoundError(f"semaphore {name!r} was removed just now") from None
        except posix_ipc.Error as error:
            raise SegmentError(f"semaphore {name!r} cannot be opened: {error}") from None
        except MemoryError:
            raise shm.explain(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), _SIZE, shm.MAPPINGS) from None
        except OSError as error:  # too many open files come without their number
            raise shm.explain(OSError(error.errno or errno.EMFILE, error.strerror or str(error))) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(shm.status(_file_of(name)), os.fstat(descriptor)):
                return mapped
        mapped.close()
        raise FileNotFoundError(f"semaphore {name!r} was removed just now")

    def post(self) -> None:
        """Wake one sleeper, or the next one to come."""
        self._semaphore.release()

    def park(self, seconds: float) -> bool:
        """Sleep until posted; False if `seconds` went by first."""
        try:
            hold_signals()  # inside try: a handler may raise right after it
            self._semaphore.acquire(seconds)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return False
        finally:
            restore_signals()
        return True

    def close(self) -> None:
        """Unmap it; the name stays."""
        self._semaphore.close()


def unlink(name: str) -> None:
    """Remove the name, if it is there."""
    shm.unlink(_file_of(name))


def _file_of(name: str) -> str:
    return "sem." + name.removeprefix("/")


@functools.cache
def _fresh() -> bytes:
    """Return the bytes of a semaphore that processes share, of value 0, as sem_open writes them too."""
    content = ctypes.create_string_buffer(_SIZE)
    ctypes.CDLL(None).sem_init(content, 1, 0)
    return content.raw
