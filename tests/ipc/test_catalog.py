from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import pydsm
from pydsm.core import names
from pydsm.ipc import catalog, shm

PROGRAM = """
import os, sys, pydsm
team = pydsm.Team(2, namespace=sys.argv[1])
A = team.array("A", 10)
team.lock("L")
def wait(worker):
    import time
    if worker.rank == 0:
        with A.locked(0):
            print("ready", flush=True)
            time.sleep(60)
    time.sleep(60)
team.run(wait)
"""


def start(namespace: str) -> subprocess.Popen[str]:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, namespace], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def kill(program: subprocess.Popen[str]) -> None:
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert program.stdout is not None
    program.stdout.read()  # ends when the workers, who have it too, have ended with their parent
    program.stdout.close()


def files_of(namespace: str) -> list[str]:
    return catalog.namespaces().get(namespace, [])


@pytest.fixture
def namespace() -> str:
    return names.new_namespace()


def test_a_living_program_keeps_its_names(namespace: str) -> None:
    program = start(namespace)
    try:
        assert catalog.is_live(namespace)
        assert catalog.reclaim(namespace) == []
        assert len(files_of(namespace)) >= 4
        with pytest.raises(FileExistsError, match="in use by a living program"):
            pydsm.Team(1, namespace=namespace)
    finally:
        kill(program)
        catalog.reclaim(namespace)


def test_the_names_of_a_killed_program_are_taken_back(namespace: str) -> None:
    kill(start(namespace))
    assert not catalog.is_live(namespace)
    assert len(catalog.reclaim(namespace)) >= 4
    assert files_of(namespace) == []


def test_the_next_team_of_that_namespace_simply_works(namespace: str) -> None:
    kill(start(namespace))
    with pydsm.Team(2, namespace=namespace) as team:
        A = team.array("A", 10)
        assert not A.any()
        with A.locked(0, timeout=0):
            pass


def test_any_new_team_takes_stale_names_back(namespace: str) -> None:
    kill(start(namespace))
    with pydsm.Team(1):
        assert files_of(namespace) == []


def test_names_without_a_lock_file_are_nobodys(namespace: str) -> None:
    kill(start(namespace))
    shm.unlink(names.team_name(namespace))
    assert catalog.reclaim(namespace)
    assert files_of(namespace) == []


def test_a_foreign_file_under_a_lock_files_name_is_left_alone(namespace: str) -> None:
    path = f"/dev/shm/{names.team_name(namespace)}"
    os.symlink("/etc/hostname", path)
    try:
        assert catalog.reclaim(namespace) == []
        assert os.path.lexists(path)
        with pytest.raises(FileExistsError, match="in use"):
            pydsm.Team(1, namespace=namespace)
    finally:
        os.unlink(path)
