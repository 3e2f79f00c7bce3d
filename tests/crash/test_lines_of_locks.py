"""Death at every line of waiting for rows, of giving them back, and of taking and leaving a slot."""

from __future__ import annotations

import pytest

import pydsm
from pydsm.core.layout import Slot
from pydsm.sync import namespace as namespaces
from tests.crash.children import SECONDS, Child, until
from tests.crash.lines import PATIENCE, crash_at_every_line
from tests.crash.scenes import LockScene, Scene

pytestmark = pytest.mark.timeout(PATIENCE)


class _Enter(Scene):
    """The first region of a process takes a slot; the thread's end gives it back."""

    def operate(self) -> None:
        with self.A.locked(0):
            self.count()
        self.namespace._seat.taken.leave()


class _EnterAmongTheDead(_Enter):
    """All slots are those of dead participants."""

    stride = 3

    def prepare(self) -> None:
        super().prepare()
        self.survive()  # has a slot itself
        for slot in range(1, namespaces.MAX_SLOTS):
            if slot != self.namespace.join() - 1:
                self.namespace.slots.set(slot, Slot.STATE, 1)


class _Wait(Scene):
    """The parent holds the row until the victim is parked, and leaves."""

    looks = 1

    def meanwhile(self, victim: Child) -> None:
        super().meanwhile(victim)
        slots = self.namespace.slots
        until(
            lambda: victim.is_heard() or any(slots.get(slot, Slot.CHECKED) >= self.looks for slot in range(4)),
            "the victim waits, or dies",
        )
        self.held.__exit__(None, None, None)

    def prepare(self) -> None:
        super().prepare()
        self.held = self.A.locked(0)
        self.held.__enter__()
        self.count_mine()

    def operate(self) -> None:
        with self.A.locked(0, timeout=SECONDS):
            self.count()


class _WaitForLong(_Wait):
    """It looks again and again, for the dead and for deadlocks."""

    stride = 3
    looks = 6


class _WaitShared(_Wait):
    stride = 3
    after = 0

    def operate(self) -> None:
        with self.A.locked(0, timeout=SECONDS, shared=True):
            self.A.fence()  # a line within


class _WaitInVain(_Wait):
    """The victim's time is out; the parent has the row throughout."""

    stride = 3
    after = 0

    def meanwhile(self, victim: Child) -> None:
        Scene.meanwhile(self, victim)

    def operate(self) -> None:
        with pytest.raises(pydsm.LockTimeoutError):
            self.A.locked(0, timeout=0.002).__enter__()

    def check(self, died: bool) -> None:
        self.held.__exit__(None, None, None)
        super().check(died)


class _Wake(Scene):
    """The parent is parked at the row when the victim leaves it."""

    before = 1
    victim_shares = parent_shares = False

    def approach(self) -> None:
        self.region = self.A.locked(0, shared=self.victim_shares)
        self.region.__enter__()
        if not self.victim_shares:
            self.count()
        self.say("inside")
        until(lambda: self.region.locks.waiters(0) != 0, "the parent is parked")

    def operate(self) -> None:
        self.region.__exit__(None, None, None)

    def meanwhile(self, victim: Child) -> None:
        super().meanwhile(victim)
        assert victim.hear() == "inside"
        self.survive(shared=self.parent_shares)


class _WakeSharer(_Wake):
    parent_shares = True


class _WakeOfSharer(_Wake):
    before = after = 0
    victim_shares = True


class _NamedLock(LockScene):
    """The same with a lock that has a name."""

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire()

    def meanwhile(self, victim: Child) -> None:
        super().meanwhile(victim)
        until(lambda: victim.is_heard() or self.lock.words.waiters(0) != 0, "the victim waits, or dies")
        self.lock.release()


@pytest.mark.parametrize(
    "scene",
    [
        _Enter,
        _EnterAmongTheDead,
        _Wait,
        _WaitForLong,
        _WaitShared,
        _WaitInVain,
        _Wake,
        _WakeSharer,
        _WakeOfSharer,
        _NamedLock,
    ],
)
def test_a_survivor_enters_where_the_victim_waited_or_was_inside(scene: type[Scene]) -> None:
    assert len(crash_at_every_line(scene())) > 10
