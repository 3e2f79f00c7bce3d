"""What ranks do so that none outlives the others: a reaper for each node, a watch on one's server."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Final

from pydsm.mpi import reaper

__all__ = ["Reaper", "dismiss_watch", "watch_server"]

_OF_LIBRARY: Final = re.compile(r"/dev/shm/(?:mpich|psm|vader|sm_segment|ucx)[^\s]*")


class Reaper:
    """The process that is left when all ranks of this node are dead; see `pydsm.mpi.reaper`.

    Parameters
    ----------
    labels : mapping
        Each process of the node, and what to call it.
    """

    def __init__(self, labels: Mapping[int, str]) -> None:
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, *(f"{pid}={label}" for pid, label in labels.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        with self._process.stdout as ready:
            ready.read(1)  # it watches
        for path in _library_files():
            self.tell(f"file {path}")

    def tell(self, line: str) -> None:
        """Say what to remove, or that all ends in order."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()

    def dismiss(self) -> None:
        """All ranks of the node end in order from now on."""
        if self._process is not None and self._process.stdin is not None:
            self.tell("bye")
            self._process.stdin.close()
            self._process.wait()
            self._process = None


def _library_files() -> set[str]:
    """Return what the MPI library has in shared memory, as this process maps it."""
    with open("/proc/self/maps") as maps:
        return {found.group() for line in maps if (found := _OF_LIBRARY.search(line))}


def watch_server(pid: int) -> None:
    """End this process when the server of its node does: nobody would answer it any more."""
    descriptor = os.pidfd_open(pid)

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        if not _dismissed:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="watch of the server").start()


_dismissed = False


def dismiss_watch() -> None:
    """Let the server end before this process."""
    global _dismissed
    _dismissed = True
