"""Two hosts on one machine: network namespaces with a cable between them, and MPI over TCP.

Processes of the two have different networks and host names, and nothing that MPI could take for a common memory.  The
launcher starts ranks on the other one through a script that takes ssh's arguments.  Where namespaces are not
permitted this is skipped.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mpi.jobs import is_open_mpi, launcher, left_in_shared_memory, needs_mpi, started

HERE = Path(__file__).parent
pytestmark = needs_mpi
ADDRESSES = ("10.97.41.1", "10.97.41.2")
REMOTE_SHELL = """#!/bin/sh
while case "$1" in -*) true;; *) false;; esac; do shift; done
case $1 in {address}) name={names[0]};; *) name={names[1]};; esac
shift
exec ip netns exec $name unshare --uts sh -c "hostname $name; $*"
"""


@dataclass(frozen=True)
class Hosts:
    """Two network namespaces, by name, and the shell that goes to them."""

    names: tuple[str, str]
    shell: Path

    def command(self, *program: str) -> list[str]:
        """Return what starts a program on both, three ranks each."""
        hosts = ",".join(f"{address}:3" for address in ADDRESSES)
        if is_open_mpi():
            options = ["--bind-to", "none", "--mca", "pml", "ob1", "--mca", "btl", "tcp,self"]
            options += ["--prtemca", "plm_ssh_agent", str(self.shell), "--host", hosts]
        else:
            options = ["-launcher", "ssh", "-launcher-exec", str(self.shell), "-hosts", hosts]
            options += ["-iface", f"v{self.names[0]}"]
        ranks = [*launcher(), *options, "-n", "6", sys.executable, "-m", "pydsm", *program]
        inside = f"hostname {self.names[0]}; exec {shlex.join(ranks)}"
        return ["ip", "netns", "exec", self.names[0], "unshare", "--uts", "sh", "-c", inside]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    tag = secrets.token_hex(3)
    first, second = names = (f"a{tag}", f"b{tag}")
    try:
        ip("netns", "add", first)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces are not permitted here: {error}")
    try:
        ip("netns", "add", second)
        ip("link", "add", f"v{first}", "netns", first, "type", "veth", "peer", "name", f"v{second}", "netns", second)
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"v{name}")
            ip("-n", name, "link", "set", f"v{name}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        shell = tmp_path / "remote-shell"
        shell.write_text(REMOTE_SHELL.format(address=ADDRESSES[0], names=names))
        shell.chmod(0o755)
        yield Hosts(names, shell)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)


OVER_TCP = {"UCX_TLS": "tcp,self", "PMIX_MCA_gds": "hash"}


def run(hosts: Hosts, log: Path, *program: str) -> tuple[int, str]:
    """Run a program on both hosts; return its exit code and what it said."""
    with started(hosts.command(*program), log, **OVER_TCP) as job:
        return job.wait(100), job.output


def test_programs_on_two_hosts_have_exact_results(hosts: Hosts, tmp_path: Path) -> None:
    chosen = (os.environ.get("PYDSM_LONG") and "test") or "columns or sibling or queue or accumulate or waiting or bit"
    inside = str(HERE / "inside.py"), "--timeout", "40", "-k", chosen, str(HERE / "litmus.py")
    code, said = run(hosts, tmp_path / "log", *inside)
    assert code == 0, said
    assert " passed" in said


def test_rows_are_copied_exactly_between_two_hosts(hosts: Hosts, tmp_path: Path) -> None:
    chosen = (os.environ.get("PYDSM_LONG") and "test") or "large or torn or u1-3 or fields"
    inside = str(HERE / "inside.py"), "--timeout", "40", "-k", chosen, str(HERE / "copies.py")
    code, said = run(hosts, tmp_path / "log", *inside)
    assert code == 0, said
    assert " passed" in said


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_rank_that_dies_on_the_other_host_ends_the_job_and_is_named(hosts: Hosts, how: str, tmp_path: Path) -> None:
    namespace = f"h{secrets.token_hex(4)}"
    code, said = run(hosts, tmp_path / "log", str(HERE / "failing.py"), how, namespace)
    assert code != 0
    assert re.search(rf"\(rank [345] of MPI, pid \d+ on {hosts.names[1]}\)[^\n]* died", said), said
    assert left_in_shared_memory(namespace) == []
