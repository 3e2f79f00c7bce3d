"""A team that its user opens to a group: other users attach, lock, wait and are buried."""

from __future__ import annotations

import os
import signal
import stat
import threading

import pytest

import pydsm
from tests.ipc.test_permissions import GROUP, STRANGER, as_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_everything_of_a_team_is_private_or_for_the_group() -> None:
    before = os.umask(0)
    try:
        for mode in (0o600, 0o660):
            with pydsm.Team(1, mode=mode) as team:
                A = team.array("A", 3)
                team.run(wait_and_undo)
                with A.locked(0, undo=True):
                    found = {
                        file: stat.S_IMODE(os.stat(f"/dev/shm/{file}").st_mode)
                        for file in os.listdir("/dev/shm")
                        if team.namespace in file
                    }
            assert set(found.values()) == {mode}
            assert len(found) >= 5, found  # with a semaphore and an undo record
    finally:
        os.umask(before)


def wait_and_undo(worker: pydsm.Worker) -> None:
    def wait() -> None:
        with pytest.raises(pydsm.LockTimeoutError), worker["A"].locked(0, timeout=0.01):
            pass

    with worker["A"].locked(0, undo=True):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()


def test_a_member_of_the_group_takes_part_and_a_stranger_does_not() -> None:
    before = os.getegid()
    os.setegid(GROUP)
    try:
        with pydsm.Team(1, mode=0o660) as team:
            A = team.array("A", 3, int)
            name = f"{team.namespace}/A"

            def take_part() -> int:
                B = pydsm.attach(name)
                with B.locked(1, undo=True) as row:
                    row += 5
                with pytest.raises(pydsm.LockTimeoutError), B.locked(0, timeout=0.05):
                    pass
                return int(B[1])

            with A.locked(0):
                assert as_user(STRANGER, [GROUP], take_part) == "5"
                assert as_user(STRANGER, [7, GROUP], take_part) == "10"
            assert "Error" in as_user(STRANGER, [7], take_part)

            def die() -> None:
                with pydsm.attach(name).locked(2, undo=True) as row:
                    row += 1
                    os.kill(os.getpid(), signal.SIGKILL)

            as_user(STRANGER, [7, GROUP], die)
            with pytest.raises(pydsm.OwnerDiedError), A.locked(2):
                pass
            with A.locked(2, recover=True):
                assert A.tolist() == [0, 10, 0]
    finally:
        os.setegid(before)


def test_a_private_team_is_nobody_elses() -> None:
    with pydsm.Team(1) as team:
        team.array("A", 3, int)
        assert "Error" in as_user(STRANGER, [0], lambda: pydsm.attach(f"{team.namespace}/A"))


@pytest.mark.parametrize("mode", [0o666, 0o640, 0, "rw"])
def test_a_mode_is_private_or_for_the_group(mode: object) -> None:
    with pytest.raises(ValueError, match="0o600"):
        pydsm.Team(1, mode=mode)  # type: ignore[arg-type]
