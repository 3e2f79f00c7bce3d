"""Who is left when a launcher has killed all ranks of a node: names the first to die, and takes its names back.

A launcher that sees a rank die kills the others at once, so none of them can say which it was, and what they had
in shared memory stays.  So the server of each node starts this process, of which the launcher knows nothing.  It
sleeps until something happens, and needs nothing but the standard library.

**Who was first.**  Every rank keeps a connection to the reaper of its node, and one over the network to that of
rank 0, the *chief*.  A process that dies has its files closed by the kernel, those of the highest numbers first;
these connections have numbers above all others (`pydsm.mpi.guard`), so they are closed before anything that a
launcher or another rank could notice and act upon.  The chief waits for all of them with epoll, whose list of
what is ready is in the order in which it became so.  Hence the first end in the list is the first death, however
late this process is given a processor, and whatever the launcher has done in the meantime.  Between machines
this holds as long as the network does not overtake itself.  Without connections to the chief, because the network
does not let them through, the reaper of each node names the first of its own ranks.

**The end.**  Who sees a death gives the ranks some seconds to end by themselves (most are killed by the launcher,
rank 0 raises an error and aborts), then it kills those of its node: a launcher may never notice.

Input: a line of JSON (see `Reaper`), then lines: ``linked`` or ``alone`` (whether all ranks have a connection to the
chief), ``bye`` (whatever ends now ends in order), ``file PATH`` and ``names NAMESPACE`` (to be removed when all are
dead), ``forget NAMESPACE``, ``chief HOST PORT TOKEN`` (where it is), ``quiet WHY`` (who dies now does not count: end
all, and say why, if there is something to say).
Output: a dot when it listens, then ``died RANK``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import glob
import json
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Reaper", "connect"]

_GRACE_SECONDS: Final = 5.0
_SHM: Final = "/dev/shm"
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 5))


class Reaper:
    """The watch of one node.

    Parameters
    ----------
    about : dict
        ``labels``: what to call each rank that may be named here, by rank; ``pids``: the processes of this node's
        ranks, by rank; ``token``: what connections begin with; ``listeners``: descriptors to accept them on;
        ``is_chief``: whether rank 0 is one of them.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        self._labels = {int(rank): label for rank, label in about["labels"].items()}
        self._token: str = about["token"]
        self._listeners = [socket.socket(fileno=descriptor) for descriptor in about["listeners"]]
        self._is_chief: bool = about["is_chief"]
        self._epoll = select.epoll()
        self._react: dict[int, Callable[[], None]] = {}
        self._processes: dict[int, int] = {}
        self._others: list[socket.socket] = []
        self._kept: list[socket.socket] = []
        self._sweep: set[str] = set()
        self._told = b""
        self._linked = self._in_order = self._ended = self._quiet = self._named = self._killed = False
        self._deadline: float | None = None
        for rank, pid in about["pids"].items():
            self._watch_process(int(rank), pid)
        for listener in self._listeners:
            listener.setblocking(False)
            self._add(listener.fileno(), functools.partial(self._accept, listener))
        os.set_blocking(0, False)
        self._add(0, self._listen)

    def run(self) -> None:
        """Watch until all ranks of the node are dead, or said to end in order; then remove what they left."""
        while self._processes and not (self._in_order and self._ended):
            wait = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            for descriptor, _ in self._epoll.poll(wait):  # in the order in which it happened
                if descriptor in self._react:
                    self._react[descriptor]()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                if self._killed:
                    break  # a rank that nothing can kill
                self._kill()
        if not self._in_order:
            _sweep(self._sweep)

    # -- what happens -------------------------------------------------------------------

    def _add(self, descriptor: int, react: Callable[[], None], events: int = select.EPOLLIN) -> None:
        self._react[descriptor] = react
        self._epoll.register(descriptor, events)

    def _remove(self, descriptor: int) -> None:
        del self._react[descriptor]
        self._epoll.unregister(descriptor)

    def _watch_process(self, rank: int, pid: int) -> None:
        descriptor = os.pidfd_open(pid)

        def gone() -> None:
            self._remove(descriptor)
            os.close(self._processes.pop(rank))
            self._lose(rank)

        self._processes[rank] = descriptor
        self._add(descriptor, gone)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            self._add(connection.fileno(), lambda: self._greet(connection))

    def _greet(self, connection: socket.socket) -> None:
        """Hear who has connected: a rank, or the reaper of another node."""
        descriptor, said = connection.fileno(), b""
        with contextlib.suppress(OSError):
            said = connection.recv(256)
        token, _, number = said.decode("ascii", "replace").strip().partition(" ")
        rank = int(number) if number.removeprefix("-").isdecimal() else None
        self._remove(descriptor)
        if token != self._token or rank is None:
            connection.close()
            return
        if rank < 0:
            self._others.append(connection)
        else:
            if connection.family == socket.AF_INET:  # a machine that says nothing more is an error of its connections
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in _KEEPALIVE:
                    connection.setsockopt(socket.IPPROTO_TCP, option, value)
            self._kept.append(connection)
            # Edge-triggered: else it would keep a place in the list that its end has no right to.
            self._add(descriptor, lambda: self._end_of(connection, rank), select.EPOLLIN | select.EPOLLET)
        with contextlib.suppress(OSError):
            connection.send(b".")

    def _end_of(self, connection: socket.socket, rank: int) -> None:
        """See a connection end."""
        how = "died"
        try:
            if connection.recv(1):
                return
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
                how = "cannot be reached any more"
        self._remove(connection.fileno())
        connection.close()
        if self._linked or rank in self._processes:
            self._lose(rank, how)

    def _lose(self, rank: int, how: str = "died") -> None:
        """See the end of a rank: if it is the first one, say so."""
        self._listen()  # it may be in order
        if self._in_order:
            return
        if not self._named and (self._is_chief or not self._linked):
            self._named = True
            if not self._quiet:
                _write(2, f"pydsm: {self._labels[rank]} {how}: the job ends\n")
            _write(1, f"died {rank}\n")
        self._end()

    def _end(self) -> None:
        """Let all ranks end, of their own if they can."""
        if self._deadline is None:
            self._deadline = time.monotonic() + _GRACE_SECONDS
            self._tell_others(b"end\n")
            _be_quiet()

    def _follow(self, host: str, port: str, token: str) -> None:
        """Do as the chief says."""
        try:
            chief = connect(host, int(port))
            chief.sendall(f"{token} -1\n".encode())
        except OSError:
            return
        chief.setblocking(False)

        def hear() -> None:
            said = b""
            with contextlib.suppress(OSError):
                said = chief.recv(256)
            if not said or b"bye" in said:  # what else happens, this node sees
                self._remove(chief.fileno())
                chief.close()
            elif b"end" in said:
                self._end()

        self._add(chief.fileno(), hear)

    def _tell_others(self, line: bytes) -> None:
        for other in self._others:
            with contextlib.suppress(OSError):
                other.send(line)

    def _kill(self) -> None:
        self._killed = True
        self._deadline = time.monotonic() + _GRACE_SECONDS
        for descriptor in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    # -- what is said ---------------------------------------------------------------------

    def _listen(self) -> None:
        """Take what the server says."""
        while not self._ended:
            try:
                chunk = os.read(0, 1 << 16)
            except BlockingIOError:
                break
            if not chunk:
                self._ended = True
                self._remove(0)
            self._told += chunk
        *lines, self._told = self._told.split(b"\n")
        for line in lines:
            self._learn(line.decode())

    def _learn(self, line: str) -> None:
        what, _, name = line.partition(" ")
        if what == "forget":
            self._sweep.discard(f"names {name}")
        elif what == "chief":
            self._follow(*name.split())
        elif what in ("linked", "alone"):
            self._linked = what == "linked"
            for listener in self._listeners:
                self._remove(listener.fileno())
                listener.close()
        elif what == "bye":
            self._in_order = True
            self._tell_others(b"bye\n")
        elif what == "quiet":
            self._quiet = True
            if name:
                _write(2, f"pydsm: {name}: the job ends\n")
            self._end()
        else:
            self._sweep.add(line)


def connect(host: str, port: int) -> socket.socket:
    """Connect to a reaper: by the name of its socket on this machine (``@name``), or over the network."""
    if not host.startswith("@"):
        return socket.create_connection((host, port), _GRACE_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_GRACE_SECONDS)
    try:
        connection.connect(host.replace("@", "\0"))
    except OSError:
        connection.close()
        raise
    return connection


def _write(descriptor: int, line: str) -> None:
    """Say something, if somebody still listens."""
    with contextlib.suppress(OSError):
        os.write(descriptor, line.encode())


def _be_quiet() -> None:
    """Let go of the launcher's pipe, for the end of which it may wait."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _sweep(entries: set[str]) -> None:
    """Remove what the dead have left in shared memory."""
    for entry in entries:
        what, _, name = entry.partition(" ")
        found: list[str] = []
        if what == "file":
            found = [name]
        elif _is_dead(name):
            found = [*glob.glob(f"{_SHM}/pydsm.{name}.*"), *glob.glob(f"{_SHM}/sem.pydsm.{name}.*")]
        for file in found:
            with contextlib.suppress(OSError):
                os.unlink(file)


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


def _allow_connections(count: int) -> None:
    """Let this process have as many descriptors as there are ranks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * count + 256)), hard))


def main() -> None:
    """Be the reaper that standard input describes."""
    with open(0, "rb", buffering=0, closefd=False) as told:
        about = json.loads(told.readline())
    _allow_connections(len(about["labels"]))
    reaper = Reaper(about)
    os.write(1, b".\n")
    reaper.run()


if __name__ == "__main__":
    main()
