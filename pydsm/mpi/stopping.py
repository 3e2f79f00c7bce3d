"""The end of a run, in a worker: SIGTERM unwinds it, but never in the middle of a step that has to be whole.

Holding signals back in one thread is not enough: MPI libraries have threads of their own, which may be given the
signal, and Python then runs the handler in the main thread all the same.  So the handler looks.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

__all__ = ["Stopped", "stop_on_sigterm", "whole"]


class Stopped(SystemExit):
    """The run has ended: leave all blocks."""


_MAIN: Final = threading.main_thread().ident
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
    """Let SIGTERM stop what runs inside."""
    global _due
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _due = False


def _stop(number: int, frame: FrameType | None) -> None:
    global _due
    if _inside:
        _due = True
    else:
        raise Stopped(128 + number)
