"""Children that die at a chosen point, and what their parent sees of it.

A child is a direct fork of the test's process: it makes a namespace of its own or joins one
of its parent's, and never comes back into the test.  It dies with the process that made it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from pydsm.native import die_with_parent

__all__ = ["SECONDS", "Child", "fork", "kill_here", "until"]

SECONDS: Final = 10
"""Longer than anything here takes: who is not done by then hangs."""


class Child:
    """A forked process and the pipe that it speaks through."""

    def __init__(self, pid: int, reader: int) -> None:
        self.pid, self._reader = pid, reader
        self._heard: bytearray = bytearray()

    def is_heard(self) -> bool:
        """Say whether there is something to hear, the end of the pipe included."""
        return bool(select.select([self._reader], [], [], 0)[0])

    def hear(self) -> Any:
        """Return the next thing it says; None if it ends without a word."""
        said = self._hear_bytes()
        if said is None:
            return None
        kind, what = pickle.loads(said)
        assert kind == "said", f"child {self.pid} failed:\n{what}"
        return what

    def _hear_bytes(self) -> bytes | None:
        size = self._take(4)
        return self._take(int.from_bytes(size, "little")) if size else None

    def _take(self, count: int) -> bytes | None:
        while len(self._heard) < count:
            ready, _, _ = select.select([self._reader], [], [], SECONDS)
            assert ready, f"child {self.pid} hangs: nothing heard of it for {SECONDS} s"
            chunk = os.read(self._reader, 1 << 16)
            if not chunk:
                return None
            self._heard += chunk
        taken = bytes(self._heard[:count])
        del self._heard[:count]
        return taken

    def kill(self) -> None:
        """End it, wherever it is."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Take note of its end, unless whoever traced it has."""
        os.close(self._reader)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.reap()


def fork(main: Callable[[Callable[[Any], None]], None]) -> Child:
    """Call ``main(say)`` in a child; `say` sends an object, and what `main` raises fails the one who hears it."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: one watches the time of each test
        pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    code = 1
    try:
        gc.disable()  # no finalizer of something older at a moment of its own
        die_with_parent(signal.SIGKILL)
        os.close(reader)
        main(lambda what: _say(writer, "said", what))
        code = 0
    except BaseException:
        _say(writer, "failed", traceback.format_exc())
    finally:
        os._exit(code)


def _say(writer: int, kind: str, what: Any) -> None:
    message = pickle.dumps((kind, what))
    os.write(writer, len(message).to_bytes(4, "little") + message)  # one write: whole, or not at all


def kill_here() -> None:
    """Die as from kill -9, now."""
    os.kill(os.getpid(), signal.SIGKILL)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for the condition; fail if it does not come."""
    for _ in _deadline():
        if condition():
            return
    raise AssertionError(f"waited {SECONDS} s for this and it never came: {what}")


def _deadline() -> Iterator[None]:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield
        time.sleep(0.0002)
