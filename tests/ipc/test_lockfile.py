from __future__ import annotations

import os

import pytest

from pydsm.ipc import shm
from pydsm.ipc.lockfile import LockFile

NAME = f"pydsm.t{os.getpid()}-lockfile.team"


@pytest.fixture
def file():
    descriptor = shm.new_file(4096)
    made = LockFile.born_locked(descriptor, NAME)
    shm.link(descriptor, NAME)
    yield made
    made.close()
    shm.unlink(NAME)


def in_child(function) -> int:
    """Run the function in a forked child; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = int(function())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def other_open() -> LockFile:
    return LockFile(shm.open_checked(NAME), NAME)


def test_a_living_member_keeps_others_from_proving_it_dead(file: LockFile) -> None:
    assert in_child(lambda: other_open().prove_alone()) == 0


def test_after_the_last_member_closed_the_proof_succeeds(file: LockFile) -> None:
    os.close(file.descriptor)
    file.descriptor = -1
    assert in_child(lambda: other_open().prove_alone()) == 1


def test_a_slot_is_held_by_one_process(file: LockFile) -> None:
    assert file.hold_slot(3)
    assert in_child(lambda: other_open().hold_slot(3)) == 0
    assert in_child(lambda: other_open().is_held_elsewhere(3)) == 1
    file.leave_slot(3)
    assert in_child(lambda: other_open().hold_slot(3)) == 1
    assert not file.is_held_elsewhere(3)  # the child is dead, and the kernel knows


def test_a_child_that_reopens_does_not_hold_its_parents_slots(file: LockFile) -> None:
    file.hold_slot(5)

    def child() -> bool:
        file.reopen()
        return file.is_held_elsewhere(5) and file.hold_slot(6)

    assert in_child(child) == 1
    assert not file.is_held_elsewhere(6)


def test_an_unlinked_file_is_noticed(file: LockFile) -> None:
    assert file.has_name()
    shm.unlink(NAME)
    assert not file.has_name()
    assert LockFile.open(NAME) is None


def test_creating_excludes_other_processes(file: LockFile) -> None:
    ready, go = os.pipe()
    with file.creating():
        pid = os.fork()
        if pid == 0:
            file.reopen()
            with file.creating():
                os.write(go, b"x")
            os._exit(0)
        os.set_blocking(ready, False)
        with pytest.raises(BlockingIOError):
            os.read(ready, 1)
    os.waitpid(pid, 0)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    os.close(go)
