"""Named semaphores that threads sleep on: the only importer of posix_ipc.

A semaphore only wakes; the truth is in the lock words.  posix_ipc turns every handled
signal that arrives during a wait into an error of its own and loses an exception that the
handler raised.  So signals are held back while a thread is parked (parks are short) and
their handlers run right after it, in the thread's own code.
"""

from __future__ import annotations

import contextlib

import posix_ipc

from pydsm.native import hold_signals, restore_signals

__all__ = ["Semaphore", "unlink"]


class Semaphore:
    """A counter to sleep on."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: posix_ipc.Semaphore) -> None:
        self._semaphore = semaphore

    @classmethod
    def create(cls, name: str) -> Semaphore:
        """Create a private semaphore; FileExistsError if the name is taken."""
        try:
            return cls(posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600, initial_value=0))
        except posix_ipc.ExistentialError:
            raise FileExistsError(f"semaphore {name!r} exists already") from None

    @classmethod
    def open(cls, name: str) -> Semaphore:
        """Open an existing one; FileNotFoundError if there is none."""
        try:
            return cls(posix_ipc.Semaphore(name))
        except posix_ipc.ExistentialError:
            raise FileNotFoundError(f"there is no semaphore {name!r}") from None

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
    with contextlib.suppress(posix_ipc.ExistentialError):
        posix_ipc.unlink_semaphore(name)
