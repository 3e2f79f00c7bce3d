"""What ranks do so that none outlives the others: a reaper for each node, connections to it, a watch on the server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydsm.mpi import reaper
from pydsm.sync.namespace import default_name

__all__ = ["Reaper", "Whereabouts", "be_watched", "dismiss_watch", "library_files", "watch_server"]

_OF_LIBRARY: Final = re.compile(r"/dev/shm/(?:mpich|psm|vader|sm_segment|ucx)[^\s]*")
_HIGH: Final = 1000
_SIOCGIFADDR: Final = 0x8915
_kept: list[int] = []


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """How to connect to a reaper.

    Attributes
    ----------
    name : str
        Of its socket on its own machine, with an ``@`` before it.
    hosts : tuple of str
        Addresses of its machine; of the chief only.
    port : int
    token : str
        What shows that one belongs to the job.
    """

    name: str
    hosts: tuple[str, ...]
    port: int
    token: str


class Reaper:
    """The process that is left when all ranks of this node are dead; see `pydsm.mpi.reaper`.

    Parameters
    ----------
    labels : mapping
        What to call each rank of the job.
    pids : mapping
        The process of each rank of this node.
    nodes : int
        How many nodes there are.
    files : iterable of str
        What the MPI library of these ranks has in shared memory; see `library_files`.
    """

    def __init__(self, labels: Mapping[int, str], pids: Mapping[int, int], nodes: int, files: Iterable[str]) -> None:
        is_chief = 0 in pids
        token, name = secrets.token_hex(16), f"@pydsm.{secrets.token_hex(8)}"
        listeners = [socket.socket(socket.AF_UNIX)]
        listeners[0].bind(name.replace("@", "\0"))
        port, hosts = 0, tuple[str, ...]()
        if is_chief and nodes > 1:
            listeners.append(socket.socket(socket.AF_INET))
            listeners[1].bind(("", 0))
            port, hosts = listeners[1].getsockname()[1], _addresses(listeners[1])
        for listener in listeners:
            listener.listen(len(labels) + nodes)
        self.whereabouts = Whereabouts(name, hosts, port, token)
        descriptors = [listener.fileno() for listener in listeners]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=descriptors,
        )
        about = {"labels": labels, "pids": pids, "token": token, "listeners": descriptors, "is_chief": is_chief}
        self.tell(json.dumps(about))
        for listener in listeners:
            listener.close()
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it watches
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN)
        for path in files:
            self.tell(f"file {path}")
        self.tell(f"names {default_name()}")

    def tell(self, line: str) -> None:
        """Say what to remove, or that all ends in order."""
        if self._process is not None and self._process.stdin is not None:
            content = f"{line}\n".encode()
            with contextlib.suppress(OSError):
                while content:
                    content = content[self._process.stdin.write(content) or 0 :]

    def first_dead(self) -> int | None:
        """Return which rank was the first to die, if one has and this reaper is to say so."""
        if self._process is None or self._process.stdout is None or not self._poll.poll(0):
            return None
        what, _, rank = self._process.stdout.readline().decode().partition(" ")
        if what != "died":
            self._poll.unregister(self._process.stdout)  # the reaper itself has been killed
            return None
        return int(rank)

    def dismiss(self) -> None:
        """All ranks of the node end in order from now on."""
        if self._process is not None and self._process.stdin is not None:
            self.tell("bye")
            self._process.stdin.close()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def be_watched(rank: int, own: Whereabouts, chief: Whereabouts) -> str | None:
    """Connect this rank to the reaper of its node and to the chief; return that one's host, if it can be reached.

    The kernel closes what a dying process has open from the highest number down, so the connections get high ones:
    they must end before anything that a launcher, or another rank, could see the end of.
    """
    _introduce(reaper.connect(own.name, 0), rank, own)
    if own == chief:
        return chief.name
    for host in (chief.name, *chief.hosts):
        with contextlib.suppress(OSError):
            _introduce(reaper.connect(host, chief.port), rank, chief)
            return host
    return None


def _introduce(connection: socket.socket, rank: int, to: Whereabouts) -> None:
    """Say who this is, wait until that is known, and keep the connection open until this process ends."""
    with connection:
        connection.sendall(f"{to.token} {rank}\n".encode())
        if connection.recv(1) != b".":
            raise ConnectionError("somebody else listens there")
        connection.setblocking(True)
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        at_least = min(_HIGH, soft - 16) if soft > 0 else _HIGH
        _kept.append(fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, at_least))


def _addresses(any_socket: socket.socket) -> tuple[str, ...]:
    """Return the addresses of this machine's networks; that of its own if there are none."""
    found = []
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            request = struct.pack("256s", name[:15].encode())
            answer = fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, request)
            found.append(socket.inet_ntoa(answer[20:24]))
    away = tuple(address for address in found if not address.startswith("127."))
    return away or tuple(found)


def library_files() -> set[str]:
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
