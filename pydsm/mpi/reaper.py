"""Who is left when a launcher has killed all ranks of a node: names the first to die, and takes its names back.

A launcher that sees a rank die kills the others at once, so none of them can say which it was, and what they had
in shared memory stays.  So the server of each node starts this process, of which the launcher knows nothing.  It
sleeps until a rank ends (a pidfd turns readable), or its input does, and needs nothing but the standard library.

Input lines: ``bye`` (whatever ends now ends in order), ``file PATH`` and ``names NAMESPACE`` (to be removed when all
are dead), ``forget NAMESPACE``, ``quiet`` (who dies now was named).  Arguments: ``PID=LABEL`` for each rank.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import sys
import time
from typing import Final

__all__ = ["reap"]

_PATIENCE_MS: Final = 10_000
_TOGETHER_SECONDS: Final = 0.03
_SHM: Final = "/dev/shm"


def reap(labels: dict[int, str]) -> None:
    """Watch processes until they are dead, or said to end in order; then remove what they left."""
    poll, open_ranks = select.poll(), {}
    for pid, label in labels.items():
        descriptor = os.pidfd_open(pid)
        open_ranks[descriptor] = label
        poll.register(descriptor, select.POLLIN)
    os.write(1, b".")
    os.close(1)
    poll.register(0, select.POLLIN)
    os.set_blocking(0, False)
    told = b""
    files: set[str] = set()
    said: set[bytes] = set()
    in_order = named = ended = False
    while open_ranks and not (in_order and ended):
        ready = poll.poll(_PATIENCE_MS if named or ended else None)
        if not ready:
            break  # a rank that nothing can kill
        for descriptor, _ in sorted(ready):
            if descriptor == 0:
                while chunk := _read():
                    told += chunk
                if chunk == b"":
                    ended = True
                    poll.unregister(0)
                *lines, told = told.split(b"\n")
                said.update(lines)
                in_order |= _learn(files, lines)
        dead = _bury(poll, open_ranks, ready)
        if dead and not in_order and not named:  # who was killed after the first may be seen before it: name them all
            time.sleep(_TOGETHER_SECONDS)
            dead += _bury(poll, open_ranks, poll.poll(0))
            named = True
            if b"quiet" not in said:
                _say(f"pydsm: {' or '.join(dead)} died: the job ends\n")
            _be_quiet()
    if not in_order:
        _sweep(files)


def _bury(poll: select.poll, open_ranks: dict[int, str], ready: list[tuple[int, int]]) -> list[str]:
    """Watch the dead no more; return what they are called."""
    dead = []
    for descriptor, _ in ready:
        if descriptor:
            poll.unregister(descriptor)
            dead.append(open_ranks.pop(descriptor))
    return dead


def _read() -> bytes | None:
    """Return what is there to read: None if nothing is, nothing at the end."""
    try:
        return os.read(0, 1 << 16)
    except BlockingIOError:
        return None


def _learn(files: set[str], lines: list[bytes]) -> bool:
    """Take what the server says; return whether all end in order from now on."""
    for line in lines:
        what, _, name = line.decode().partition(" ")
        if what == "forget":
            files.discard(f"names {name}")
        elif name:
            files.add(f"{what} {name}")
    return b"bye" in lines


def _say(sentence: str) -> None:
    """Say something, if the launcher still listens."""
    with contextlib.suppress(OSError):
        os.write(2, sentence.encode())


def _be_quiet() -> None:
    """Let go of the launcher's pipe, for the end of which it may wait."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _sweep(files: set[str]) -> None:
    for entry in files:
        what, _, name = entry.partition(" ")
        if what == "file":
            with contextlib.suppress(OSError):
                os.unlink(name)
        elif _is_dead(name):
            for file in os.listdir(_SHM):
                if file.startswith((f"pydsm.{name}.", f"sem.pydsm.{name}.")):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{_SHM}/{file}")


def _is_dead(namespace: str) -> bool:
    """Say whether nobody takes part in a namespace any more; see `pydsm.ipc.lockfile`."""
    try:
        descriptor = os.open(f"{_SHM}/pydsm.{namespace}.team", os.O_RDWR)
    except OSError:
        return False
    try:
        request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


if __name__ == "__main__":
    reap({int(pid): label for pid, _, label in (argument.partition("=") for argument in sys.argv[1:])})
