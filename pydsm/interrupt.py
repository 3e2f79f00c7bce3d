"""Signals in the parent of a run, put off to where they can be acted upon.

Python runs a signal's handler between any two bytecodes of the main thread: between the
fork of a worker and its being watched, or in a destructor, where what it raises is lost.
While a run goes on every handler only takes a note; the byte that the kernel-side handler
writes (whichever thread the signal hits) wakes the supervisor, which then calls the handler
that was there before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["DeferredSignals"]


class DeferredSignals:
    """While inside ``with``, a signal that has a handler turns `reader` readable; main thread only."""

    def __init__(self) -> None:
        self.reader = -1
        self._writer = -1
        self._before: dict[int, Any] = {}  # what to call
        self._replaced: dict[int, Any] = {}  # what to put back
        self._noted: list[int] = []
        self._wakeup = -1

    def __enter__(self) -> DeferredSignals:
        if threading.current_thread() is not threading.main_thread():
            return self
        handlers = {number: signal.getsignal(number) for number in range(1, signal.NSIG)}
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        try:
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            for number, handler in handlers.items():
                if callable(handler):
                    self._before[number] = self._replaced[number] = handler
                    signal.signal(number, self._note)
        except BaseException:
            self.__exit__(RuntimeError, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.reader < 0:
            return
        try:
            self._restore_all()
            self.act()  # on a signal of the last moment
        finally:
            os.close(self.reader)
            os.close(self._writer)
            self.reader = -1

    def _restore_all(self) -> None:
        """Put all handlers back, though one that is back already may raise in the middle of it."""
        try:
            self.restore()
        except BaseException:
            self._restore_all()
            raise

    def restore(self) -> None:
        """Put the handlers back; also for a forked child, whose signals are its own."""
        if self.reader >= 0:
            signal.set_wakeup_fd(self._wakeup)
        while self._replaced:
            number, handler = next(iter(self._replaced.items()))
            if signal.getsignal(number) == self._note:  # else somebody has set another one meanwhile
                signal.signal(number, handler)
            self._replaced.pop(number, None)

    def act(self) -> None:
        """Call the handlers of the signals that came."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 64):
                pass
        while self._noted:
            number = self._noted.pop(0)
            self._before[number](number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted.append(number)
