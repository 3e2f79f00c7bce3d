"""Death at every machine instruction of the native code of a region, and of a barrier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pydsm
from pydsm.core.layout import Slot, Team
from pydsm.native import Region
from pydsm.sync import barrier as barriers
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace
from tests.crash.children import Child, fork, until
from tests.crash.instructions import crash_at_instructions, why_not
from tests.crash.lines import PATIENCE, TORTURE, Scenario
from tests.crash.scenes import AfterADeath, LockScene, Scene

pytestmark = [
    pytest.mark.timeout(PATIENCE),
    pytest.mark.skipif(bool(why_not()), reason=f"Instructions are not counted here: {why_not()}"),
]

_WANTED = 50


class _Warm(Scene):
    """The victim has a slot already, and has been through the code once."""

    def approach(self) -> None:
        for mode in {}, {"shared": True}, {"undo": True}, {"recover": True}:
            with self.A.locked(self.rows, **mode):
                pass

    def operate(self) -> None:
        with self.region():
            self.count()

    def region(self) -> Region:
        return self.A.locked(self.rows)

    def count(self) -> None:
        self.A[self.rows] += 1


class _Exclusive(_Warm):
    pass


class _Several(_Warm):
    """A region of several stripes."""

    rows = slice(1, 4)


class _Undo(_Warm):
    undo = True

    def region(self) -> Region:
        return self.A.locked(self.rows, undo=True)

    def count(self) -> None:
        self.A[0, 0] += 1
        self.A.locked(1, shared=True).held()  # native code where the update is half done
        self.A[0, 1] += 1


class _UndoSeveral(_Undo):
    rows = range(1, 4, 2)

    def count(self) -> None:
        _Warm.count(self)


class _Group(_UndoSeveral):
    """Regions that are entered and left as one."""

    def operate(self) -> None:
        with pydsm.locked((self.A, 3), (self.A, 1), undo=True):
            self.A[1] += 1
            self.A.locked(1, shared=True).held()  # as above
            self.A[3] += 1


class _UndoOfAnError(_Undo):
    after = 0

    def operate(self) -> None:
        with pytest.raises(ZeroDivisionError), self.A.locked(0, undo=True):
            self.A[0] += 1
            raise ZeroDivisionError


class _NamedLock(LockScene):
    def approach(self) -> None:
        assert self.lock.acquire()
        self.lock.release()


class _Shared(_Warm):
    after = 0

    def operate(self) -> None:
        with self.A.locked(0, shared=True):
            pass


class _Failed(_Warm):
    """The victim tries once, while the parent holds the row."""

    after = 0

    def prepare(self) -> None:
        super().prepare()
        self.held = self.A.locked(0)
        self.held.__enter__()

    def approach(self) -> None:
        self.operate()

    def operate(self) -> None:
        with pytest.raises(pydsm.LockTimeoutError):
            self.A.locked(slice(0, 2), timeout=0).__enter__()

    def check(self, died: bool) -> None:
        self.leave()
        super().check(died)

    def clear(self) -> None:
        self.leave()  # the scene may never have come to its check
        super().clear()

    def leave(self) -> None:
        if self.A.holds(0):
            self.held.__exit__(None, None, None)


class _Recover(AfterADeath):
    def approach(self) -> None:
        with self.A.locked(3, recover=True), self.A.locked(2 if self.rows == 0 else 0, undo=True):
            pass

    def region(self) -> Region:
        return self.A.locked(self.rows, recover=True)

    def operate(self) -> None:
        with self.region():
            self.A[self.rows, 1] = self.A[self.rows, 0]
            self.A[self.rows] += 1


class _RecoverSeveral(_Recover):
    rows = slice(1, 3)

    def region(self) -> Region:
        return self.A.locked(self.rows, recover=True, undo=True)


class _RecoverInVain(_Recover):
    before = after = 1

    def operate(self) -> None:
        with pytest.raises(ZeroDivisionError), self.A.locked(0, recover=True):
            raise ZeroDivisionError

    def check(self, died: bool) -> None:
        assert self.A.tolist()[0] == [1, 0]
        assert self.survive()  # who has to recover
        self.check_count(died)
        self.check_cleared(died)


class _Wake(_Warm):
    """A third process is parked at the row when the victim leaves it."""

    before = 1

    def prepare(self) -> None:
        self.third: Child | None = None
        super().prepare()

    def approach(self) -> None:
        super().approach()
        self.inside = self.A.locked(0)
        self.inside.__enter__()
        self.count()
        self.say("inside")
        until(self.is_awaited, "somebody is parked")

    def is_awaited(self) -> bool:
        slots = self.namespace.slots
        waiting = [slot for slot in slots.taken() if slots.get(slot, Slot.WAIT)]
        return any(slots.get(slot, Slot.CHECKED) > 2 for slot in waiting)  # it has slept already

    def operate(self) -> None:
        self.inside.__exit__(None, None, None)

    def meanwhile(self, victim: Child) -> None:
        super().meanwhile(victim)
        assert victim.hear() == "inside"
        self.third = fork(lambda say: say(self.survive()))
        self.dead.append(self.third.pid)  # it ends with its slot, which is no death to anybody

    def check(self, died: bool) -> None:
        assert self.third is not None
        with self.third:
            assert self.third.hear() is not None
        self.third = None
        self.entered += 1
        super().check(died)

    def clear(self) -> None:
        if self.third is not None:
            self.third.__exit__()
        super().clear()


@pytest.mark.parametrize(
    "scene",
    [
        _Exclusive,
        _Several,
        _Shared,
        _NamedLock,
        _Failed,
        _Wake,
        _Undo,
        _UndoSeveral,
        _Group,
        _UndoOfAnError,
        _Recover,
        _RecoverSeveral,
        _RecoverInVain,
    ],
)
def test_a_survivor_enters_wherever_the_victim_stops(scene: type[Scene]) -> None:
    count = crash_at_instructions(scene(), _WANTED)
    assert count.crashed > 0.9 * count.chosen
    assert count.chosen == count.instructions if TORTURE else count.chosen > _WANTED // 2


class _LastToCome(Scenario):
    """The victim comes to a barrier that another worker sleeps in, for ever if nobody wakes it."""

    def prepare(self) -> None:
        self.namespace = Namespace.create(size=2)
        self.other = fork(self.sleep)
        until(lambda: self.namespace.words.load(Team.BELL) & 1, "the other one sleeps")

    def sleep(self, say: Callable[[Any], None]) -> None:
        barriers._FIRST_PARK = barriers._LAST_PARK = 1000.0
        self.namespace.sit(0)
        Barrier(self.namespace).wait(0)
        say("through")

    def meanwhile(self, victim: Child) -> None:
        self.victim = victim.pid

    def approach(self) -> None:
        self.namespace.sit(1)
        self.barrier = Barrier(self.namespace)

    def operate(self) -> None:
        self.barrier.wait(1)

    def check(self, died: bool) -> None:
        self.namespace.lose(1, self.victim)
        Barrier(self.namespace).lose(1)
        assert self.other.hear() == "through"

    def clear(self) -> None:
        self.other.__exit__()
        self.namespace.close()


def test_who_sleeps_in_a_barrier_is_woken_wherever_the_last_one_stops() -> None:
    count = crash_at_instructions(_LastToCome(), _WANTED)
    assert count.crashed > 0.9 * count.chosen
    assert count.chosen == count.instructions if TORTURE else count.chosen > _WANTED // 2
