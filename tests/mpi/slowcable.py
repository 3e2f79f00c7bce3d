"""A bad cable between two hosts: every packet late, and some of them lost.

The kernel's ``netem`` does it where the kernel has it.  Else a process is the cable: each host gets a TAP device, and
what comes out of one goes into the other when its time has come, or never::

    python -m tests.mpi.slowcable HOST HOST DELAY LOSS

It opens each device inside its host's namespace, and is ready when it has said so.  Losses are drawn, with a seed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

from tests.mpi.hosts import CABLE, Hosts, NotPermittedError, plug_in, two_hosts
from tests.mpi.launchers import ROOT

__all__ = ["far_hosts"]

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x1002
_FRAME = 1 << 16


@contextlib.contextmanager
def far_hosts(delay: float = 0.002, loss: float = 0.01) -> Iterator[Hosts]:
    """Make two hosts whose packets take `delay` seconds each way, and of which a share of `loss` never arrives.

    Raises
    ------
    NotPermittedError
    """
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(two_hosts())
        if not _by_kernel(hosts, delay, loss):
            stack.close()
            hosts = stack.enter_context(two_hosts(cable=False))
            stack.enter_context(_by_process(hosts, delay, loss))
        yield hosts


def _by_kernel(hosts: Hosts, delay: float, loss: float) -> bool:
    """Let the kernel delay and lose packets; say whether it can."""
    how = ["netem", "delay", f"{delay * 1e3}ms", "loss", f"{loss:.3%}"]
    try:
        for which in (0, 1):
            command = hosts.inside(which, "tc", "qdisc", "add", "dev", CABLE, "root", *how)
            subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@contextlib.contextmanager
def _by_process(hosts: Hosts, delay: float, loss: float) -> Iterator[None]:
    command = [sys.executable, "-m", __name__, *hosts.names, str(delay), str(loss)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        assert relay.stderr is not None
        try:
            if not relay.stdout.readline():
                raise NotPermittedError(
                    "the kernel has no netem (tc qdisc add ... netem), and no TAP devices either, so no cable can be "
                    f"bad here: {relay.stderr.read().strip().splitlines()[-1]}"
                )
            plug_in(hosts.names)
            yield
        finally:
            relay.kill()


def _enter(name: str) -> None:
    """Be in a network namespace from here on."""
    with open(f"/run/netns/{name}", "rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)


def _tap() -> int:
    """Make this end of the cable in the namespace that this process is in."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", CABLE.encode(), _TAP_WITHOUT_HEADER))
    return device


def relay(first: int, second: int, delay: float, loss: float) -> None:
    """Be the cable between two devices, for ever."""
    other = {first: second, second: first}
    under_way: deque[tuple[float, int, bytes]] = deque()
    dice = random.Random(1)
    while True:
        patience = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for device in select.select([first, second], [], [], patience)[0]:
            with contextlib.suppress(OSError):  # not up yet
                frame = os.read(device, _FRAME)
                if dice.random() >= loss:
                    under_way.append((time.monotonic() + delay, other[device], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, device, frame = under_way.popleft()
            with contextlib.suppress(OSError):
                os.write(device, frame)


def main(first: str, second: str, delay: str, loss: str) -> None:
    devices = []
    for name in (first, second):
        _enter(name)
        devices.append(_tap())
    print("ready", flush=True)
    relay(devices[0], devices[1], float(delay), float(loss))


if __name__ == "__main__":
    main(*sys.argv[1:])
