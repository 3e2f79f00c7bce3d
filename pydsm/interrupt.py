"""Ctrl-C in the parent of a run, put off to where it can be acted upon.

Python raises KeyboardInterrupt between any two bytecodes of the main thread: between the
fork of a worker and its being watched, or in a destructor, where it is lost.  While a run
goes on the handler only writes to a pipe; the supervisor, which waits for that pipe too,
calls the handler that was there before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["DeferredInterrupt"]


class DeferredInterrupt:
    """While inside ``with``, SIGINT turns `reader` readable; does nothing outside the main thread."""

    def __init__(self) -> None:
        self.reader = -1
        self._writer = -1
        self._before: Any = None

    def __enter__(self) -> DeferredInterrupt:
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self.reader, self._writer = os.pipe()
            os.set_blocking(self.reader, False)
            os.set_blocking(self._writer, False)
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        try:
            if kind is None:  # a Ctrl-C of the last moment
                self.act()
        finally:
            os.close(self.reader)
            os.close(self._writer)

    def act(self) -> None:
        """Do what a Ctrl-C would have done, if there was one."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 64)
            self._before(signal.SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, b"\0")
