from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mpi.hosts import ADDRESSES, OVER_TCP, Hosts, NotPermittedError, ip, two_hosts
from tests.mpi.jobs import LONG, left_in_shared_memory, needs_mpi, started
from tests.mpi.launchers import ROOT
from tests.mpi.slowcable import far_hosts

HERE = Path(__file__).parent
pytestmark = needs_mpi
PYDSM = "-m", "pydsm"


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(two_hosts())
        except NotPermittedError as error:
            pytest.skip(str(error))
        yield made


@pytest.fixture
def far() -> Iterator[Hosts]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(far_hosts())
        except NotPermittedError as error:
            pytest.skip(str(error))
        yield made


def run(command: list[str], log: Path, *program: str | Path) -> tuple[int, str]:
    """Run a program on ranks of both hosts; return its exit code and what it said."""
    with started([*command, sys.executable, *map(str, program)], log, **OVER_TCP) as job:
        return job.wait(100), job.output


def test_programs_on_two_hosts_have_exact_results(hosts: Hosts, tmp_path: Path) -> None:
    chosen = (os.environ.get("PYDSM_LONG") and "test") or "columns or sibling or queue or accumulate or waiting or bit"
    inside = HERE / "inside.py", "--timeout", "40", "-k", chosen, HERE / "litmus.py"
    code, said = run(hosts.ranks(3, 3), tmp_path / "log", *PYDSM, *inside)
    assert code == 0, said
    assert " passed" in said


def test_rows_are_copied_exactly_between_two_hosts(hosts: Hosts, tmp_path: Path) -> None:
    chosen = (os.environ.get("PYDSM_LONG") and "test") or "large or torn or u1-3 or fields"
    inside = HERE / "inside.py", "--timeout", "40", "-k", chosen, HERE / "copies.py"
    code, said = run(hosts.ranks(3, 3), tmp_path / "log", *PYDSM, *inside)
    assert code == 0, said
    assert " passed" in said


@pytest.mark.parametrize(
    ("how", "rank", "host"),
    [
        ("exit", 5, 1),
        pytest.param("kill", 5, 1, marks=LONG),
        ("later", 5, 1),
        pytest.param("server", 3, 1, marks=LONG),
        pytest.param("parent", 0, 0, marks=LONG),
    ],
)
def test_a_rank_that_dies_ends_the_job_on_both_hosts_and_is_named(
    hosts: Hosts, how: str, rank: int, host: int, tmp_path: Path
) -> None:
    namespace = f"h{secrets.token_hex(4)}"
    code, said = run(hosts.ranks(3, 3), tmp_path / "log", *PYDSM, HERE / "failing.py", how, namespace)
    assert code != 0
    named = re.findall(r"pydsm: .*\(rank (\d) of MPI, pid \d+ on (\S+)\) died: the job ends", said)
    assert named == [(str(rank), hosts.names[host])], said
    assert left_in_shared_memory(namespace, said) == []


def test_results_are_exact_though_packets_are_late_and_lost(far: Hosts, tmp_path: Path) -> None:
    turns = "200" if os.environ.get("PYDSM_LONG") else "12"
    code, said = run(far.ranks(3, 3), tmp_path / "log", *PYDSM, HERE / "exact.py", turns)
    assert code == 0, said
    assert f"exact: 4 workers, {turns} turns" in said


def test_a_plain_program_runs_on_any_number_of_ranks(hosts: Hosts, tmp_path: Path) -> None:
    program = "from mpi4py import MPI; import platform; world = MPI.COMM_WORLD\n"
    program += "said = world.gather(platform.node())\nif said: print('hosts', *said)"
    code, said = run(hosts.ranks(2, 1), tmp_path / "log", "-c", program)
    assert code == 0, said
    first, second = hosts.names
    assert f"hosts {first} {first} {second}" in said


def test_nothing_is_left_of_two_hosts_not_even_what_ran_there() -> None:
    try:
        with two_hosts() as hosts:
            command = hosts.inside(1, sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
            sleeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == "here\n"
    except NotPermittedError as error:
        pytest.skip(str(error))
    assert sleeper.wait(20) == -signal.SIGKILL
    sleeper.stdout.close()
    assert not {*hosts.names} & {*ip("netns", "list").split()}
    assert not hosts.shell.exists()


def test_hosts_of_a_killed_maker_are_gone_when_the_next_are_made(hosts: Hosts) -> None:
    program = "import sys, time; from tests.mpi.hosts import two_hosts\n"
    program += "with two_hosts() as hosts: print(*hosts.names, flush=True); time.sleep(600)"
    maker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    names = {*maker.stdout.readline().split()}
    maker.kill()
    maker.wait()
    maker.stdout.close()
    assert names <= {*ip("netns", "list").split()}
    folders = Path(tempfile.gettempdir())
    assert list(folders.glob(f"{min(names)[:-1]}*"))
    with two_hosts():
        assert not list(folders.glob(f"{min(names)[:-1]}*"))
        assert not names & {*ip("netns", "list").split()}
    assert {*hosts.names} <= {*ip("netns", "list").split()}  # those of a living one stay


ECHO = """
import socket, sys
host, port = sys.argv[1], 7777
with socket.create_server((host, port)) as server:
    print("ready", flush=True)
    there, _ = server.accept()
    while there.send(there.recv(1)):
        pass
"""
ASK = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 7777)) as there:
    for _ in range(20):
        began = time.monotonic()
        there.send(b"x")
        assert there.recv(1) == b"x"
        print(time.monotonic() - began)
"""


def test_a_bad_cable_lets_nothing_through_before_its_time(far: Hosts) -> None:
    echo = subprocess.Popen(
        far.inside(1, sys.executable, "-c", ECHO, ADDRESSES[1]), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert echo.stdout is not None
    with echo, echo.stdout:
        assert echo.stdout.readline() == b"ready\n"
        command = far.inside(0, sys.executable, "-c", ASK, ADDRESSES[1])
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        echo.kill()
    assert len(asked.stdout.split()) == 20
    assert min(map(float, asked.stdout.split())) >= 0.004  # no speed claim: light is not faster, either
