"""Signals at the worst moments: in an enter, an exit or a sleep, while workers start, while they run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydsm
from pydsm import supervise
from pydsm.core import names
from pydsm.ipc import child, lockfile, semaphore
from pydsm.ipc.lockfile import LockFile
from pydsm.native import held
from pydsm.sync.locktable import LockTable
from tests.sync.test_waits import handling, until
from tests.test_locked import Holder, is_free


class Alarm(Exception):
    pass


class Interrupt(BaseException):
    """As a KeyboardInterrupt, but for this test alone."""


def alarm(*_: object) -> None:
    raise Alarm


@pytest.fixture
def team() -> Iterator[pydsm.Team]:
    with pydsm.Team(2) as team:
        team.array("A", 4, int)
        team.lock("L")
        yield team


# -- regions and locks -----------------------------------------------------------------

GUARDS: dict[str, Callable[[pydsm.Team], Any]] = {
    "row": lambda team: team["A"].locked(1),
    "rows": lambda team: team["A"].locked(slice(0, 3)),
    "shared": lambda team: team["A"].locked([0, 2], shared=True),
    "undo": lambda team: team["A"].locked([0, 2], undo=True),
    "group": lambda team: pydsm.locked((team["A"], 0), (team["A"], [2, 3]), undo=True),
    "lock": lambda team: team["L"],
}


def is_all_free(team: pydsm.Team) -> bool:
    words = [team["A"].locked().locks, team["L"].words]
    return held() == 0 and not any(
        each.holder(stripe) or each.sharers(stripe) for each in words for stripe in range(each.stripes)
    )


def crowd(team: pydsm.Team) -> None:
    """Let it look as if others waited for everything."""
    team["A"]._table.lots[:] = team["L"].words.policy.lots[:] = 1 << 9


@pytest.mark.parametrize("guard", ["undo", "group"])
@pytest.mark.parametrize("step", ["wait", "wake", "save"])
def test_an_interrupt_in_whatever_step_of_an_enter_leaves_nothing_held(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, step: str, guard: str
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupt

    region = GUARDS[guard](team)
    region.timeout = 0
    crowd(team)
    with contextlib.ExitStack() as stack:
        if step != "save":
            stack.enter_context(Holder(team["A"].locked(2)))  # row 0 it has by then
        with monkeypatch.context() as patch:
            patch.setattr(LockTable, step, interrupted)
            with pytest.raises(Interrupt), region:
                pass
        assert held() == 0
        assert is_free(team["A"], 0)
    assert is_all_free(team)
    with region:
        pass


@pytest.mark.parametrize("guard", GUARDS)
def test_an_interrupt_while_others_are_woken_finds_the_region_left(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupt

    crowd(team)
    with monkeypatch.context() as patch:
        patch.setattr(LockTable, "wake", interrupted)
        with pytest.raises(Interrupt), GUARDS[guard](team):
            pass
    assert is_all_free(team)


@pytest.mark.parametrize("guard", GUARDS)
def test_an_exit_does_not_ask_who_its_thread_is(team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """Asking is Python code, in which an interrupt could come; and the thread may be another participant by now."""

    def interrupted(*_: object) -> None:
        raise Interrupt

    B = pydsm.create("B", 2, int)
    with B.locked(0):
        pass
    with monkeypatch.context() as patch, GUARDS[guard](team):
        with B.locked(1):
            pass
        patch.setattr(LockTable, "join", interrupted)
    assert is_all_free(team)
    pydsm.unlink("B")


# -- kernel objects ----------------------------------------------------------------------


def test_a_handler_that_raises_where_a_sleep_begins_leaves_no_signal_blocked(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = semaphore.hold_signals

    def hold_signals() -> None:
        real()
        raise Alarm

    monkeypatch.setattr(semaphore, "hold_signals", hold_signals)
    with Holder(team["A"].locked(1)), pytest.raises(Alarm), team["A"].locked(1):
        pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_interrupts_never_leave_names_locked(team: pydsm.Team) -> None:
    namespace = team["A"]._table.namespace
    other = LockFile.open(names.team_name(team.namespace))  # as another process sees it
    assert other is not None
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for _ in range(300):
            with contextlib.suppress(Alarm):
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                while True:
                    with namespace.creating():
                        pass
            assert not other.is_held_elsewhere(lockfile._CREATE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        other.close()
    team.array("B", 3)


# -- runs --------------------------------------------------------------------------------


def sleep(worker: pydsm.Worker) -> None:
    signal.pause()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (pydsm.Team, "_prepare"),
        (child, "_flush"),
        (child._Forked, "__init__"),
        (supervise.Supervisor, "add"),
        (supervise.Supervisor, "wait"),
    ],
    ids=["before", "at the fork", "after the fork", "before it is watched", "when it is watched"],
)
def test_a_handler_that_raises_while_workers_start_loses_none(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    real, calls, me = getattr(owner, name), [], os.getpid()

    def interrupted(*args: Any) -> Any:
        calls.append(name)
        if os.getpid() == me and (len(calls) == 2 or name == "wait"):  # of the second worker
            signal.raise_signal(signal.SIGALRM)
        return real(*args)

    with handling(signal.SIGALRM, alarm):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            with pytest.raises(Alarm):
                team.run(sleep)
        assert signal.getsignal(signal.SIGALRM) is alarm
        assert team.run(lambda worker: worker.rank) == [0, 1]


def test_an_interrupt_that_the_kernel_gives_to_another_thread_ends_the_run(team: pydsm.Team) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        until(lambda: sys._current_frames()[main].f_code.co_name == "select")
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    def work(worker: pydsm.Worker) -> None:
        time.sleep(20)
        worker["A"][worker.rank] = 1  # the run went on to its end

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        team.run(work)
    thread.join()
    assert team["A"].tolist() == [0] * 4


def test_a_handler_that_returns_is_called_each_time_and_the_run_goes_on(team: pydsm.Team) -> None:
    A = team["A"]

    def handler(number: int, frame: object) -> None:
        assert (number, held()) == (signal.SIGUSR1, 0)
        A[0] += 1

    def work(worker: pydsm.Worker) -> bool:
        for step in range(3 if worker.rank == 0 else 0):
            os.kill(os.getppid(), signal.SIGUSR1)
            until(lambda step=step: A[0] > step)
        return signal.getsignal(signal.SIGUSR1) is handler and signal.set_wakeup_fd(-1) == writer

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with handling(signal.SIGUSR1, handler):
        before = signal.set_wakeup_fd(writer)
        try:
            assert team.run(work) == [True, True]
        finally:
            assert signal.set_wakeup_fd(before) == writer
        assert A[0] == 3
        assert signal.getsignal(signal.SIGUSR1) is handler
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_of_the_last_moment_of_a_run_is_handled(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    real, handled = supervise.Supervisor.wait, []

    def wait(self: supervise.Supervisor) -> Any:
        try:
            return real(self)
        finally:
            signal.raise_signal(signal.SIGUSR1)
            assert handled == []

    monkeypatch.setattr(supervise.Supervisor, "wait", wait)
    with handling(signal.SIGUSR1, lambda *_: handled.append(True)):
        with pytest.raises(pydsm.WorkerError) if fails else contextlib.nullcontext():
            team.run(lambda worker: 1 / (not fails))
        assert handled == [True]


def test_a_second_interrupt_kills_workers_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []
    real = child._Forked.reap

    def reap(self: child._Forked) -> int:
        codes.append(real(self))
        return codes[-1]

    def stubborn(worker: pydsm.Worker) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGUSR1))
        os.kill(os.getppid(), signal.SIGUSR1)
        signal.alarm(20)
        while True:
            signal.pause()

    monkeypatch.setattr(child._Forked, "reap", reap)
    monkeypatch.setattr(supervise, "_GRACE_SECONDS", 1000.0)
    with pydsm.Team(1) as team, handling(signal.SIGUSR1, alarm), pytest.raises(Alarm):
        team.run(stubborn)
    assert codes == [-signal.SIGKILL]


def test_a_run_in_another_thread_leaves_signals_to_the_main_one(team: pydsm.Team) -> None:
    results = []

    def work(worker: pydsm.Worker) -> bool:
        os.kill(os.getppid(), signal.SIGUSR1)
        until(lambda: worker["A"][0])
        return True

    def handler(*_: object) -> None:
        team["A"][0] = 1

    with handling(signal.SIGUSR1, handler):
        thread = threading.Thread(target=lambda: results.append(team.run(work)))
        thread.start()
        while thread.is_alive():
            thread.join(0.01)  # so that handlers can run
    assert results == [[True, True]]


@pytest.mark.parametrize("times", [1, 1000])
def test_a_bar_that_cannot_be_shown_ends_the_run_in_order(
    team: pydsm.Team, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    A, failures = team["A"], []

    class Broken:
        def __init__(self, total: int) -> None:
            pass

        def refresh(self) -> None:
            if A[:2].all() and len(failures) < times:
                failures.append(True)
                raise BrokenPipeError

        def close(self) -> None:
            pass

    def work(worker: pydsm.Worker) -> None:
        try:
            with A.locked(worker.rank) as row:
                row[...] = 1
                signal.pause()
        finally:
            A[2 + worker.rank] = 1

    monkeypatch.setattr("tqdm.auto.tqdm", Broken)
    with pytest.raises(BrokenPipeError):
        team.run(work, progress=True)
    if times == 1:  # they were asked first, and could leave their regions
        assert A.tolist() == [1, 1, 1, 1]
    with A.locked(timeout=20, recover=times > 1):
        pass
    assert team.run(lambda worker: worker.rank) == [0, 1]
