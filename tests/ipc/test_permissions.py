"""Who else may attach: nobody, or the members of one's group if it is shared with them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import numpy as np
import posix_ipc
import pytest

import pydsm
from pydsm.errors import SegmentError
from pydsm.ipc import catalog, segment, shm
from pydsm.ipc.semaphore import Semaphore
from tests.ipc.disks import new_name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

INT = np.dtype(np.int64)
GROUP, STRANGER = 54321, 12345


class Names:
    """A segment's and a semaphore's name; `share` makes both with a mode, for a group."""

    def __init__(self) -> None:
        self.segment = new_name()
        self.semaphore = f"/{self.segment}"
        self.files = [self.segment, f"sem.{self.segment}"]

    def share(self, mode: int, group: int = GROUP) -> None:
        segment.create(self.segment, (3,), INT, mode=mode)[:] = 7
        Semaphore.create(self.semaphore, mode).close()
        for file in self.files:
            os.chown(f"/dev/shm/{file}", -1, group)


@pytest.fixture
def made() -> Iterator[Names]:
    made = Names()
    yield made
    for file in made.files:
        shm.unlink(file)


def as_user(uid: int, groups: list[int], function: Callable[[], object]) -> str:
    """Run the function as another user in those groups, the first one its own; return what it returned or raised."""
    answer, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups[1:])
            os.setresgid(groups[0], groups[0], groups[0])
            os.setresuid(uid, uid, uid)
            os.write(said, str(function()).encode())
        except BaseException as error:
            os.write(said, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(said)
    with os.fdopen(answer, "rb") as lines:
        text = lines.read().decode()
    os.waitpid(pid, 0)
    return text


def attach_both(made: Names, *, shared: bool, readonly: bool = False) -> str:
    array = segment.attach(made.segment, INT, (3,), shared=shared, readonly=readonly)
    parked = Semaphore.open(made.semaphore, shared=shared)
    parked.post()
    if not readonly:
        array += 1
    return f"{array.tolist()} {parked.park(0)}"


@pytest.mark.parametrize("groups", [[GROUP], [STRANGER, 7, GROUP]], ids=["its own group", "one of its groups"])
def test_a_member_of_the_group_may_attach_what_is_shared_with_it(made: Names, groups: list[int]) -> None:
    made.share(0o660)
    assert as_user(STRANGER, groups, lambda: attach_both(made, shared=True)) == "[8, 8, 8] True"
    assert segment.attach(made.segment, INT, (3,)).tolist() == [8, 8, 8]
    assert as_user(STRANGER, groups, lambda: attach_both(made, shared=True, readonly=True)) == "[8, 8, 8] True"


def test_to_be_shared_it_has_to_be_asked_for(made: Names) -> None:
    made.share(0o660)
    for use in (
        lambda: segment.attach(made.segment, INT, (3,)),
        lambda: Semaphore.open(made.semaphore),
        lambda: shm.open_checked(made.segment),
    ):
        assert f"is no regular file of user {STRANGER}" in as_user(STRANGER, [GROUP], use)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o620, 0o644, 0o664, 0o666, 0o606], ids=oct)
@pytest.mark.parametrize("readonly", [False, True])
def test_any_other_mode_is_refused_even_where_the_system_would_open_it(made: Names, mode: int, readonly: bool) -> None:
    made.share(mode)
    for use in (
        lambda: segment.attach(made.segment, INT, (3,), shared=True, readonly=readonly),
        lambda: Semaphore.open(made.semaphore, shared=True),
    ):
        assert as_user(STRANGER, [GROUP], use).startswith("SegmentError: ")


@pytest.mark.parametrize("mode", [0o600, 0o660], ids=oct)
def test_a_stranger_can_neither_attach_nor_open(made: Names, mode: int) -> None:
    made.share(mode)
    for shared, readonly in ((True, True), (True, False), (False, True), (False, False)):
        attach = functools.partial(segment.attach, made.segment, INT, (3,), shared=shared, readonly=readonly)
        for use in (attach, functools.partial(Semaphore.open, made.semaphore, shared=shared)):
            assert "cannot be opened: Permission denied" in as_user(STRANGER, [STRANGER], use)


def test_a_stranger_gets_no_further_without_pydsm(made: Names) -> None:
    made.share(0o660)
    path = f"/dev/shm/{made.segment}"
    for use in (
        lambda: os.open(path, os.O_RDONLY),
        lambda: os.truncate(path, 0),
        lambda: os.unlink(path),
        lambda: os.chmod(path, 0o666),
        lambda: os.link("/etc/passwd", path),
        lambda: posix_ipc.Semaphore(made.semaphore),
        lambda: posix_ipc.unlink_semaphore(made.semaphore),
    ):
        assert as_user(STRANGER, [STRANGER], use).startswith(("Permission", "FileExistsError"))
    assert [os.stat(f"/dev/shm/{file}").st_uid for file in made.files] == [0, 0]


def test_what_a_stranger_planted_is_refused_by_all(made: Names) -> None:
    """Sharing is with a group: a file that any user could have put there is nobody's."""

    def plant() -> None:
        segment.create(made.segment, (3,), INT, mode=0o660)
        Semaphore.create(made.semaphore, 0o660)

    as_user(STRANGER, [STRANGER], plant)
    for shared in (False, True):
        with pytest.raises(SegmentError, match="no regular file of user 0"):
            segment.attach(made.segment, INT, (3,), shared=shared)
        with pytest.raises(SegmentError, match="no regular file of user 0"):
            Semaphore.open(made.semaphore, shared=shared)
    attempt = as_user(STRANGER + 1, [GROUP], lambda: attach_both(made, shared=True))
    assert attempt.startswith("SegmentError: ")


def test_only_regular_files_are_shared(made: Names) -> None:
    path = f"/dev/shm/{made.segment}"
    os.mkfifo(path)
    os.chmod(path, 0o660)
    os.chown(path, -1, GROUP)
    use = lambda: segment.attach(made.segment, INT, (3,), shared=True)  # noqa: E731
    assert "is no regular file of user" in as_user(STRANGER, [GROUP], use)


def test_without_a_mode_nobody_else_may_attach_whatever_the_umask(made: Names) -> None:
    before = os.umask(0)
    try:
        segment.create(made.segment, (3,), INT)
        Semaphore.create(made.semaphore).close()
    finally:
        os.umask(before)
    for file in made.files:
        os.chown(f"/dev/shm/{file}", -1, GROUP)
    assert as_user(STRANGER, [GROUP], lambda: attach_both(made, shared=True)).startswith("SegmentError: ")


def test_what_a_member_made_in_anothers_team_is_not_taken_back_while_that_lives() -> None:
    own_group = os.getegid()
    os.setegid(GROUP)
    try:
        with pydsm.Team(1, mode=0o660) as team:

            def make_and_begin_anew() -> list[str]:
                pydsm.create(f"{team.namespace}/B", 3, int)
                return catalog.reclaim(team.namespace)  # as any program of that user does when it starts

            assert as_user(STRANGER, [GROUP], make_and_begin_anew) == "[]"
            assert pydsm.attach(f"{team.namespace}/B").tolist() == [0, 0, 0]
    finally:
        os.setegid(own_group)
