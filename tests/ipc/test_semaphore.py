from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator

import posix_ipc
import pytest

from pydsm.errors import NoRoomError, SegmentError
from pydsm.ipc import semaphore, shm
from pydsm.ipc.semaphore import Semaphore
from tests.ipc.disks import new_name, own_shm


@pytest.fixture
def name() -> Iterator[str]:
    name = f"/{new_name()}"
    yield name
    semaphore.unlink(name)


def path_of(name: str) -> str:
    return f"/dev/shm/sem.{name[1:]}"


# -- waking ----------------------------------------------------------------------------


def test_who_is_posted_first_does_not_sleep(name: str) -> None:
    made = Semaphore.create(name)
    assert not made.park(0)
    made.post()
    assert made.park(0)
    assert not made.park(0.001)
    made.close()


def test_it_wakes_another_process(name: str) -> None:
    here, there = Semaphore.create(name), Semaphore.create(name + "1")
    pid = os.fork()
    if pid == 0:
        theirs = Semaphore.open(name)  # by name, as a process that is no child would
        os._exit(0 if theirs.park(30) and there.post() is None else 1)
    here.post()
    assert there.park(30)
    assert os.waitpid(pid, 0)[1] == 0
    for made in (here, there):
        made.close()
    semaphore.unlink(name + "1")


def test_the_system_made_it_no_differently(name: str) -> None:
    """Byte for byte what sem_open makes, and for everybody who uses sem_open."""
    theirs = posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600, initial_value=0)
    with open(path_of(name), "rb") as file:
        made_by_sem_open = file.read()
    theirs.close()
    semaphore.unlink(name)
    ours = Semaphore.create(name)
    with open(path_of(name), "rb") as file:
        assert file.read() == made_by_sem_open
    theirs = posix_ipc.Semaphore(name)
    theirs.release()
    assert ours.park(0)
    theirs.close()
    ours.close()


def test_a_signal_while_it_is_parked_is_handled_right_after(name: str) -> None:
    made, seen = Semaphore.create(name), []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        assert not made.park(0.05)
        assert seen == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    made.close()


# -- names and modes -------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
@pytest.mark.parametrize("mode", [0o600, 0o660], ids=oct)
def test_its_mode_is_what_was_asked_for_whatever_the_umask(name: str, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        made = Semaphore.create(name, mode)
        default = Semaphore.create(name + "1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path_of(name)).st_mode) == mode
    assert stat.S_IMODE(os.stat(path_of(name + "1")).st_mode) == 0o600
    semaphore.unlink(name + "1")
    made.close()
    default.close()


def test_a_taken_name_is_an_error_and_keeps_its_owner(name: str) -> None:
    first = Semaphore.create(name)
    with pytest.raises(FileExistsError):
        Semaphore.create(name)
    Semaphore.open(name).post()
    assert first.park(0)
    first.close()


def test_a_name_that_is_not_there_is_an_error_and_to_unlink_it_is_none(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        Semaphore.open(name)
    semaphore.unlink(name)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [("/pydsm.\0.1", ValueError), ("/pydsm.\ud800.1", ValueError), ("/pydsm." + "x" * 300, OSError)],
    ids=["NUL", "surrogate", "too long"],
)
def test_a_name_that_no_file_can_have_is_an_error(bad: str, kind: type[Exception]) -> None:
    """The first two are a SIGSEGV in posix_ipc."""
    for use in (Semaphore.create, Semaphore.open, semaphore.unlink):
        with pytest.raises(kind):
            use(bad)


def test_only_its_own_name_ever_appears(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """sem_open is not asked to make anything: its temporary file would be nobody's if it died just then."""
    asked = []
    original = posix_ipc.Semaphore
    monkeypatch.setattr(posix_ipc, "Semaphore", lambda *args, **more: asked.append((args, more)) or original(*args))
    Semaphore.create(name).close()
    Semaphore.open(name).close()
    assert asked == [((name,), {})] * 2


def test_a_maker_killed_at_any_instant_leaves_no_other_name() -> None:
    killer = """
import os, random, signal, time
from pydsm.ipc import semaphore
dice, name = random.Random(1), "/pydsm.killed.0"
semaphore.Semaphore.create(name).close()
for _ in range(300):
    ready, begun = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(begun, b"x")
        while True:
            semaphore.unlink(name)
            semaphore.Semaphore.create(name).close()
    os.read(ready, 1)
    time.sleep(dice.random() * 0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(begun)
    assert set(os.listdir("/dev/shm")) <= {"sem.pydsm.killed.0"}, os.listdir("/dev/shm")
"""
    subprocess.run([*own_shm("size=1m"), sys.executable, "-c", killer], check=True, timeout=60)


# -- what can go wrong -----------------------------------------------------------------


def test_another_users_is_refused(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's file")
    Semaphore.create(name).close()
    os.chown(path_of(name), 12345, 12345)
    with pytest.raises(SegmentError, match="no regular file of user 0"):
        Semaphore.open(name)


def test_one_that_is_replaced_while_it_is_opened_is_not_touched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Touching a file that is too short would be a SIGBUS; so it is not kept either."""
    original = posix_ipc.Semaphore
    Semaphore.create(name).close()

    def replaced(asked: str) -> posix_ipc.Semaphore:
        os.unlink(path_of(name))
        with open(path_of(name), "wb"):
            return original(asked)

    monkeypatch.setattr(posix_ipc, "Semaphore", replaced)
    with pytest.raises(FileNotFoundError, match="removed just now"):
        Semaphore.open(name)
    with open("/proc/self/maps") as maps:
        assert name[1:] not in maps.read()


def test_one_that_is_removed_while_it_is_opened_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = posix_ipc.Semaphore
    Semaphore.create(name).close()

    def removed(asked: str) -> posix_ipc.Semaphore:
        os.unlink(path_of(name))
        return original(asked)

    monkeypatch.setattr(posix_ipc, "Semaphore", removed)
    with pytest.raises(FileNotFoundError, match="removed just now"):
        Semaphore.open(name)


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize("make", [True, False], ids=["create", "open"])
def test_without_descriptors_the_error_has_its_number(name: str, spare: int, make: bool) -> None:
    if not make:
        Semaphore.create(name).close()
    used = os.dup(0)
    os.close(used)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, hard))
    try:
        with pytest.raises(OSError, match=r"Too many open files|maximum number of files") as caught:
            Semaphore.create(name) if make else Semaphore.open(name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert shm.exists(f"sem.{name[1:]}") == (not make)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError("Not enough memory"), NoRoomError),
        (posix_ipc.PermissionsError("Permission denied"), SegmentError),
        (OSError(errno.ENFILE, "Too many open files in system"), OSError),
    ],
)
def test_errors_of_posix_ipc_are_the_systems(
    name: str, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    def fail(asked: str) -> None:
        raise raised

    monkeypatch.setattr(posix_ipc, "Semaphore", fail)
    with pytest.raises(expected) as caught:
        Semaphore.create(name)
    assert type(caught.value) is expected
    assert getattr(caught.value, "errno", None) == getattr(raised, "errno", None)
    assert not shm.exists(f"sem.{name[1:]}")
