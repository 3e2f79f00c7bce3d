"""The end of a run, in a worker: SIGTERM unwinds it, but never in the middle of a step that has to be whole.

Holding signals back in one thread is not enough: MPI libraries have threads of their own, which may be given the
signal, and Python then runs the handler in the main thread all the same.  So the handler looks.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

__all__ = ["Stopped", "stop_on_sigterm", "whole"]


class Stopped(SystemExit):
    """The run has ended: leave all blocks."""


_MAIN: Final = threading.main_thread().ident
_LATE: Final = 5.0
"""Seconds behind a run in which its server may not know yet that it has ended: after them nobody stops it any more."""
_late_until = 0.0
_inside = 0
_due = False


class _Whole:
    """What `whole` returns: the same each time, because nothing of it is the caller's."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _inside
        if threading.get_ident() == _MAIN:
            _inside += 1

    def __exit__(self, *error: object) -> None:
        global _inside, _due
        if threading.get_ident() != _MAIN:
            return
        _inside -= 1
        if _due and not _inside:
            _due = False
            raise Stopped(128 + signal.SIGTERM)


_WHOLE: Final = _Whole()


def whole() -> _Whole:
    """Do a step without being stopped in it; a stop that comes meanwhile comes after it."""
    return _WHOLE


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM stop what runs inside; one that comes just behind it is of that run still, and does nothing."""
    global _due, _late_until
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        _late_until = time.monotonic() + _LATE
        signal.signal(signal.SIGTERM, _come_late)
        _due = False


def _come_late(number: int, frame: FrameType | None) -> None:
    if time.monotonic() >= _late_until:  # not of a run: do what a process does that has no handler
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


def _stop(number: int, frame: FrameType | None) -> None:
    global _due
    if _inside:
        _due = True
    else:
        raise Stopped(128 + number)
