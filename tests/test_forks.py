"""Forks where a process has no descriptor left, holds something, or is a worker."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydsm
from pydsm.core import names
from pydsm.ipc import catalog, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.native import held
from pydsm.sync import namespace as namespaces
from tests.sync.test_waits import fork
from tests.test_locked import is_free


@pytest.fixture
def team() -> Iterator[pydsm.Team]:
    with pydsm.Team(2) as team:
        team.array("A", 4, int)
        team.lock("L")
        yield team


def said_by_child(body: Callable[[], object]) -> str:
    """Return what `body` returns, or the error that it raises, in a forked child."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            signal.alarm(20)
            answer = str(body())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Narrow:
    """A process that may have only so many more descriptors than now."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + self.more, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self.before)


# -- without descriptors -------------------------------------------------------------------


def test_a_child_that_finds_no_descriptor_takes_no_part_and_says_so(team: pydsm.Team) -> None:
    A = team["A"]
    reader, writer = os.pipe()
    with A.locked(0):
        with Narrow(0):
            pid = fork()
            if pid == 0:
                code = 1
                try:
                    with A.locked(0, timeout=0):
                        pass
                except RuntimeError as error:
                    code = 0 if "could not join it: Too many open files" in str(error) else 2
                finally:
                    os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert A.holds(0)
        assert not is_free(A, 0)
    os.close(reader)
    os.close(writer)
    assert team.run(lambda worker: worker.rank) == [0, 1]


def test_a_run_with_too_few_descriptors_spoils_nothing_for_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    def work(worker: pydsm.Worker) -> int:
        with worker["A"].locked(0) as total:
            total += 1
        return worker.rank

    failures: list[type[BaseException]] = []
    with pydsm.Team(1) as team:
        A = team.array("A", 1, int)
        team.run(work)
        for more in range(30):
            before = descriptors()
            try:
                with Narrow(more):
                    team.run(work)
                break
            except (OSError, pydsm.WorkerDiedError) as error:
                failures.append(type(error))
            assert descriptors() == before
            assert team.run(work) == [0]
        assert A[0] == len(failures) + 2
    assert OSError in failures
    assert "in another process already" not in capfd.readouterr().err


@pytest.mark.parametrize(("call", "number"), [("fork", errno.EAGAIN), ("pidfd_open", errno.EMFILE)])
def test_a_worker_that_cannot_be_started_ends_those_that_were(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    real, calls, me = getattr(os, call), [], os.getpid()

    def refused(*args: Any) -> Any:
        calls.append(call)
        if len(calls) == 2 and os.getpid() == me:
            raise OSError(number, os.strerror(number))
        return real(*args)

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refused)
        with pytest.raises(OSError, match=os.strerror(number)):
            team.run(lambda worker: signal.pause())
    assert descriptors() == before
    assert team.run(lambda worker: worker.rank) == [0, 1]


# -- inside of something -------------------------------------------------------------------

GUARDS: dict[str, Callable[[pydsm.Team], Any]] = {
    "row": lambda team: team["A"].locked(1),
    "shared": lambda team: team["A"].locked([0, 2], shared=True),
    "undo": lambda team: team["A"].locked([0, 2], undo=True),
    "group": lambda team: pydsm.locked((team["A"], 0), (team["A"], [2, 3]), undo=True),
    "lock": lambda team: team["L"],
}


@pytest.mark.parametrize("guard", GUARDS)
def test_a_child_leaves_what_its_parent_holds_as_if_it_were_nothing(team: pydsm.Team, guard: str) -> None:
    A, pid = team["A"], -1
    code = 1
    try:
        with GUARDS[guard](team):
            A[0] = 1
            pid = fork()
            if pid == 0:
                assert held() == 0
                code = 0
            else:
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                assert held() == {"row": 1, "lock": 1, "group": 3}.get(guard, 2)
                assert A[0] == 1
                assert team["L"].held() if guard == "lock" else not is_free(A)
    except BaseException:
        code = 2
        if pid:
            raise
    finally:
        if pid == 0:
            os._exit(code)
    assert is_free(A)
    assert held() == 0


@pytest.mark.parametrize("guard", ["undo", "group"])
def test_an_update_is_undone_though_a_child_has_left_it(team: pydsm.Team, guard: str) -> None:
    A = team["A"]
    pid = fork()
    if pid == 0:
        try:
            with GUARDS[guard](team):
                A[0] = 9
                grandchild = os.fork()
                if grandchild:
                    os.waitpid(grandchild, 0)
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with A.locked(recover=True, timeout=20):
        assert A[0] == 0


def test_a_child_of_two_namespaces_of_one_name_is_somebody_else_in_both() -> None:
    name = names.new_namespace()
    with pydsm.Team(1, namespace=name) as old:
        A = old.array("A", 2, int)
        for file in catalog.files_of(name):  # as the next program does after this one was killed
            shm.unlink(file)
        with pydsm.Team(1, namespace=name) as new, A.locked(0), new.array("A", 2, int).locked(0):
            for team in (old, new):
                array = team["A"]

                def enter(array: pydsm.GlobalArray = array) -> str:
                    with array.locked(0, timeout=0):
                        return "inside with its parent"

                assert said_by_child(enter).startswith("LockTimeoutError")


def test_a_child_can_lock_though_another_thread_was_taking_a_slot_at_the_fork(team: pydsm.Team) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with namespaces._guard:
            inside.set()
            leave.wait(20)

    def enter() -> str:
        with team["A"].locked(0, timeout=0):
            return "inside"

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(20)
    try:
        assert said_by_child(enter) == "inside"
    finally:
        leave.set()
        thread.join()


def test_rows_of_a_program_that_became_another_one_are_abandoned() -> None:
    A = pydsm.create("A", 4, int)
    reader, writer = os.pipe()  # closed by exec: then it has happened
    until, go = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            region = A.locked(1)
            region.__enter__()
            os.dup2(until, 0)
            os.execv(sys.executable, [sys.executable, "-c", "input()"])
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b""
    with pytest.raises(pydsm.OwnerDiedError, match=f"pid {pid} died holding row 1"), A.locked(timeout=20):
        pass
    os.write(go, b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for descriptor in (reader, until, go):
        os.close(descriptor)
    pydsm.unlink("A")


# -- children of workers -------------------------------------------------------------------


def test_a_run_does_not_wait_for_children_of_its_workers(team: pydsm.Team) -> None:
    until, go = os.pipe()

    def work(worker: pydsm.Worker) -> int:
        if os.fork() == 0:
            signal.alarm(20)
            os.close(go)
            os.read(until, 1)
            os._exit(0)
        return worker.rank

    assert team.run(work) == [0, 1]
    assert team.run(lambda worker: worker.rank) == [0, 1]
    os.close(until)
    os.write(go, b"xx")  # a broken pipe if they had ended by now
    os.close(go)


def test_a_dead_worker_is_buried_though_a_child_of_its_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child has its parent's kernel locks from the fork until it opens the lock file anew."""
    until, go = os.pipe()
    forking: list[bool] = []
    real, real_sleep = LockFile.reopen, time.sleep

    def reopen(self: LockFile) -> None:
        if forking:
            os.read(until, 1)
        real(self)

    def work(worker: pydsm.Worker) -> None:
        with worker["A"].locked(1):
            forking.append(True)
            if os.fork() == 0:
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

    def sleep(seconds: float) -> None:  # until the next look whether it can be buried
        os.write(go, b"x")
        real_sleep(seconds)

    with pydsm.Team(1) as team:
        team.array("A", 2, int)
        monkeypatch.setattr(LockFile, "reopen", reopen)
        monkeypatch.setattr(time, "sleep", sleep)
        with pytest.raises(pydsm.WorkerDiedError) as caught:
            team.run(work)
        assert caught.value.held == ["row 1 of array 'A'"]
        monkeypatch.undo()
        assert team.run(lambda worker: worker.rank) == [0]
    os.close(go)
    os.close(until)


def test_a_worker_without_standard_output_reports_all_the_same(team: pydsm.Team) -> None:
    def work(worker: pydsm.Worker) -> int:
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
        return worker.rank

    assert team.run(work) == [0, 1]
