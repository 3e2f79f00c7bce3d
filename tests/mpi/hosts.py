"""Two hosts on one machine: network namespaces with a cable between them, and MPI over TCP.

Processes of the two have different networks and host names, and nothing that MPI could take for a common memory.  The
launcher starts ranks on the other one through a script that takes ssh's arguments.  Tests and benchmarks use this, so
it needs no pytest.

What is left is taken away: at the end the processes that are still in a namespace are killed and the namespace is
removed; one whose maker was killed itself goes when the next one is made, which knows it by the pid in its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mpi.launchers import is_open_mpi, launcher

__all__ = ["ADDRESSES", "CABLE", "OVER_TCP", "Hosts", "NotPermittedError", "ip", "two_hosts"]

CABLE = "cable"
"""What the network device is called, on both hosts."""
OVER_TCP = {"UCX_TLS": "tcp,self", "PMIX_MCA_gds": "hash"}
"""Environment: UCX else finds memory that both hosts have, and PMIx makes files that only one can map."""
ADDRESSES = ("10.97.41.1", "10.97.41.2")
_NAME = re.compile(r"pydsm(\d+)x[0-9a-f]+[ab]")
_AS_HOST = 'hostname "$0"; exec "$@"'
_REMOTE_SHELL = """#!/bin/sh
while case "$1" in -*) true;; *) false;; esac; do shift; done
case $1 in {addresses[0]}) name={names[0]};; *) name={names[1]};; esac
shift
exec ip netns exec $name unshare --uts sh -c "hostname $name; $*"
"""


class NotPermittedError(RuntimeError):
    """This process may not make network namespaces, or the kernel lacks what they need."""


@dataclass(frozen=True)
class Hosts:
    """Two network namespaces with a cable between them.

    Attributes
    ----------
    names : tuple of str
        Of the namespaces; the host names inside are the same.
    shell : Path
        Goes to one of them, with ssh's arguments.
    """

    names: tuple[str, str]
    shell: Path

    def inside(self, which: int, *command: str) -> list[str]:
        """Return what runs a command on one of the hosts."""
        name = self.names[which]
        return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", _AS_HOST, name, *command]

    def ranks(self, first: int, second: int) -> list[str]:
        """Return what starts a program on both, so many ranks each: the program and its arguments go behind it."""
        shares = ",".join(
            f"{address}:{count}" for address, count in zip(ADDRESSES, (first, second), strict=True) if count
        )
        if is_open_mpi():
            options = ["--bind-to", "none", "--mca", "pml", "ob1", "--mca", "btl", "tcp,self"]
            options += ["--prtemca", "plm_ssh_agent", str(self.shell), "--host", shares]
        else:
            options = ["-launcher", "ssh", "-launcher-exec", str(self.shell), "-hosts", shares, "-iface", CABLE]
        return self.inside(0, *launcher(), *options, "-n", str(first + second))


def ip(*arguments: str) -> str:
    """Run ``ip``; return what it says."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20).stdout


@contextlib.contextmanager
def two_hosts(*, cable: bool = True) -> Iterator[Hosts]:
    """Make two hosts, and take them away again, whatever happens.

    Parameters
    ----------
    cable : bool
        Whether to connect them; else the caller does, by devices that are called `CABLE`.

    Raises
    ------
    NotPermittedError
    """
    tag = f"pydsm{os.getpid()}x{secrets.token_hex(2)}"
    names = (f"{tag}a", f"{tag}b")
    with tempfile.TemporaryDirectory(prefix=tag) as folder:
        try:
            try:
                _sweep()
                for name in names:
                    ip("netns", "add", name)
                    ip("-n", name, "link", "set", "lo", "up")
                if cable:
                    ip(
                        "link",
                        "add",
                        CABLE,
                        "netns",
                        names[0],
                        "type",
                        "veth",
                        "peer",
                        "name",
                        CABLE,
                        "netns",
                        names[1],
                    )
                    plug_in(names)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or error
                raise NotPermittedError(f"network namespaces are not permitted here: {str(said).strip()}") from error
            shell = Path(folder) / "remote-shell"
            shell.write_text(_REMOTE_SHELL.format(addresses=ADDRESSES, names=names))
            shell.chmod(0o755)
            yield Hosts(names, shell)
        finally:
            for name in names:
                _remove(name)


def plug_in(names: tuple[str, str]) -> None:
    """Give both ends of the cable their addresses, and wait until they are up: MPI looks once, when it starts."""
    for name, address in zip(names, ADDRESSES, strict=True):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", CABLE)
        ip("-n", name, "link", "set", CABLE, "up")
    until = time.monotonic() + 10
    for name in names:
        while not re.search(r"LOWER_UP.* state (UP|UNKNOWN) ", ip("-n", name, "-o", "link", "show", "dev", CABLE)):
            if time.monotonic() > until:
                raise NotPermittedError(f"the cable of {name} does not come up")
            time.sleep(0.005)


def _sweep() -> None:
    """Remove the namespaces and folders of makers that are dead."""
    for name in re.findall(r"^\S+", ip("netns", "list"), re.MULTILINE):
        maker = _NAME.fullmatch(name)
        if maker and not os.path.exists(f"/proc/{maker.group(1)}"):
            _remove(name)
            for folder in Path(tempfile.gettempdir()).glob(f"{name[:-1]}*"):
                shutil.rmtree(folder, ignore_errors=True)


def _remove(name: str) -> None:
    """Kill what still runs in a namespace, and remove it."""
    until = time.monotonic() + 5
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        while (pids := ip("netns", "pids", name).split()) and time.monotonic() < until:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        ip("netns", "del", name)
