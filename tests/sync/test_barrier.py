from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydsm
from pydsm.core.layout import Slot, Team
from pydsm.sync import barrier as barriers
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace
from tests.sync.test_waits import handling, until

_LONG = 1000.0


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace.create(size=2)
    yield made
    made.close()


@pytest.fixture
def _for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no sleep end by itself."""
    for name in ("_FIRST_PARK", "_LAST_PARK"):
        monkeypatch.setattr(barriers, name, _LONG)


class Sleeper:
    """A worker in a thread of its own, asleep in the barrier."""

    def __init__(self, namespace: Namespace, rank: int = 0) -> None:
        self.namespace = namespace
        self.outcome: object = None
        self._thread = threading.Thread(target=self._wait, args=[rank], daemon=True)
        self._thread.start()
        until(lambda: namespace.words.load(Team.BELL) & 1)

    def _wait(self, rank: int) -> None:
        try:
            Barrier(self.namespace).wait(rank)
            self.outcome = "through"
        except pydsm.BrokenBarrierError as error:
            self.outcome = str(error)

    def lose_the_wake_up(self) -> None:
        """Be the one who clears the bell's bit, and dies before it can wake."""
        words = self.namespace.words
        value = words.load(Team.BELL)
        assert words.compare_and_swap(Team.BELL, value, value + 1)

    def end(self) -> Any:
        self._thread.join(20)
        return self.outcome


@pytest.mark.usefixtures("_for_ever")
def test_the_last_one_wakes_who_sleeps(namespace: Namespace) -> None:
    barrier = Barrier(namespace)
    for _ in range(3):
        sleeper = Sleeper(namespace)
        barrier.wait(1)
        assert sleeper.end() == "through"
        assert not namespace.words.load(Team.BELL) & 1


def _fail(barrier: Barrier) -> None:
    barrier.fail()


def _finish(barrier: Barrier) -> None:
    barrier.finish(1)


def _lose(barrier: Barrier) -> None:
    barrier.lose(1)


@pytest.mark.parametrize(
    ("act", "outcome"), [(_fail, "failed or was interrupted"), (_finish, "rank 1 returned"), (_lose, "through")]
)
@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.usefixtures("_for_ever")
def test_who_sleeps_is_told_though_a_wake_up_died_before(
    namespace: Namespace, act: Callable[[Barrier], None], outcome: str, is_lost: bool
) -> None:
    sleeper = Sleeper(namespace)
    if is_lost:
        sleeper.lose_the_wake_up()
    act(Barrier(namespace))
    assert outcome in sleeper.end()


@pytest.mark.usefixtures("_for_ever")
def test_a_death_between_the_step_and_the_wake_up_leaves_nobody_asleep(namespace: Namespace) -> None:
    sleeper = Sleeper(namespace)
    namespace.slots.set(1, Slot.BARRIER, 1)
    namespace.words.add(Team.ARRIVED, 1)
    namespace.words.add(Team.GENERATION, 1)
    sleeper.lose_the_wake_up()
    Barrier(namespace).lose(1)
    assert sleeper.end() == "through"


def test_a_sleep_that_nobody_ends_ends_by_itself(namespace: Namespace) -> None:
    sleeper = Sleeper(namespace)
    namespace.words.add(Team.GENERATION, 1)
    assert sleeper.end() == "through"


def test_a_long_wait_says_for_whom_it_waits(namespace: Namespace) -> None:
    sleeper = Sleeper(namespace)
    slots = namespace.slots
    until(lambda: [slot for slot in slots.taken() if slots.blockers(slot) == 0b10])
    Barrier(namespace).wait(1)
    assert sleeper.end() == "through"
    assert not any(slots.get(slot, Slot.WAIT) for slot in slots.taken())


@pytest.mark.usefixtures("_for_ever")
def test_a_handler_runs_while_its_thread_sleeps_in_the_barrier(namespace: Namespace) -> None:
    barrier, called, me = Barrier(namespace), [], threading.get_ident()

    def interrupt() -> None:
        until(lambda: namespace.words.load(Team.BELL) & 1)
        while not called:  # the first may come a moment before the sleep
            signal.pthread_kill(me, signal.SIGUSR1)
        barrier.wait(1)

    other = threading.Thread(target=interrupt)
    with handling(signal.SIGUSR1, lambda *_: called.append(True)):
        other.start()
        barrier.wait(0)
        other.join()
    assert called
    assert not namespace.words.load(Team.BROKEN)


@pytest.mark.usefixtures("_for_ever")
def test_a_handler_that_raises_breaks_the_barrier_for_all(namespace: Namespace) -> None:
    barrier, raised, me = Barrier(namespace), [], threading.get_ident()

    def refuse(*_: object) -> None:
        if not raised:
            raised.append(True)
            raise ZeroDivisionError

    def interrupt() -> None:
        until(lambda: namespace.words.load(Team.BELL) & 1)
        while not raised:
            signal.pthread_kill(me, signal.SIGUSR1)

    other = threading.Thread(target=interrupt)
    with handling(signal.SIGUSR1, refuse):
        other.start()
        with pytest.raises(ZeroDivisionError):
            barrier.wait(0)
        other.join()
    with pytest.raises(pydsm.BrokenBarrierError):
        barrier.wait(1)
