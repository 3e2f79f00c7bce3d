"""What both kinds of crash points have in common: rows to die over, and survivors who come next."""

from __future__ import annotations

from typing import Any

import numpy as np

import pydsm
from pydsm.ipc import catalog, shm
from tests.crash.children import SECONDS, Child, fork, kill_here, until
from tests.crash.lines import Scenario

__all__ = ["AfterADeath", "LockScene", "Scene", "check_reclaimed", "names_of"]


def names_of(namespace: str) -> list[str]:
    """Return the names that a namespace has in shared memory."""
    return sorted(file for file in shm.listing() if f"pydsm.{namespace}." in file)


def check_reclaimed(namespace: str) -> None:
    """See that the names of a dead namespace can be taken back, by us or another program that is at it."""

    def is_gone() -> bool:
        catalog.reclaim()
        return names_of(namespace) == []

    until(is_gone, "all names are taken back")


class Scene(Scenario):
    """An array of which each region adds one to all elements of its rows; the parent is a survivor."""

    rows: Any = 0
    """What the victim enters."""
    shape = (4, 2)
    before, after = 0, 1
    """What the victim has added to every element, if it died in the operation or came through."""
    undo = False
    """Whether the victim's update is all or nothing, so that nobody has to put it right."""

    def prepare(self) -> None:
        self.team = self.make_team()
        self.A = self.team.array("A", self.shape, int)
        self.namespace = self.A._table.namespace
        self.entered = 0  # by survivors
        self.dead: list[int] = []  # pids of those who died

    def make_team(self) -> pydsm.Team:
        """Return a team for the array."""
        return pydsm.Team(1)

    def meanwhile(self, victim: Child) -> None:
        self.dead.append(victim.pid)

    def count(self) -> None:
        """Add one to the rows, with lines of pydsm's where the update is half done."""
        self.A[self.rows, 0] += 1
        self.A.fence()
        self.A[self.rows, 1:] += 1

    def survive(self, *, shared: bool = False) -> bool:
        """Enter where the victim was within a bounded time, plainly or as one who recovers; say if that."""
        try:
            with self.A.locked(self.rows, timeout=SECONDS, shared=shared):
                if not shared:
                    self.count_mine()
            return False
        except pydsm.OwnerDiedError as error:
            death = error
        assert self.is_dead(death.holder)
        assert f"pid {death.pid}" in death.holder
        region = self.A.locked(self.rows, timeout=SECONDS, recover=True)
        with region:
            if region.recovered:
                assert all(self.is_dead(who) for who in region.recovered)
                self.put_right()
            self.count_mine()
            return bool(region.recovered)

    def is_dead(self, who: str) -> bool:
        """Say whether that is the name of somebody who died."""
        return any(f"pid {pid}" in who for pid in self.dead)

    def put_right(self) -> None:
        """Complete an update that is half done, as a program that knows its data can."""
        if not self.undo:
            rows = np.atleast_2d(np.array(self.A[self.rows]))
            self.A[self.rows] = rows[:, :1]

    def check_whole(self) -> None:
        """See that all elements of the rows have had as many updates."""
        rows = np.array(self.A[self.rows])
        assert (rows == rows.flat[0]).all()

    def count_mine(self) -> None:
        self.check_whole()
        self.entered += 1
        self.count()

    def check(self, died: bool) -> None:
        self.survive()
        self.check_count(died)
        self.check_cleared(died)

    def check_count(self, died: bool) -> None:
        """See that the victim's update counts once or not at all, and everybody else's once."""
        self.check_whole()
        added = int(np.array(self.A[self.rows]).flat[0]) - self.entered
        assert added in (self.before, self.after) if died else added == self.after
        assert not np.delete(np.array(self.A), np.arange(len(self.A))[self.rows], axis=0).any()

    def check_cleared(self, died: bool) -> None:
        """See that the dead have left nothing, now or after the end of the team."""
        mine = self.namespace.join() - 1
        with self.A.locked(timeout=SECONDS):  # all comes free, without anybody's having to recover
            pass
        self.namespace.bury_all()
        self.check_count(died)  # nothing was put back over what came later
        assert self.namespace.slots.taken() == [mine]
        assert not self.A._table.lines.any()
        assert not self.A._table.lots.any()
        assert [file for file in names_of(self.team.namespace) if ".undo." in file] == []
        self.team.terminate()
        assert names_of(self.team.namespace) == []

    def clear(self) -> None:
        self.team.terminate()
        catalog.reclaim()


class AfterADeath(Scene):
    """Somebody died in the middle of an update of the rows before the victim comes."""

    before, after = 1, 2
    first_undo = False
    is_buried = True

    def prepare(self) -> None:
        super().prepare()
        with fork(lambda say: self.die_inside()) as first:
            assert first.hear() is None
        self.dead.append(first.pid)
        if self.is_buried:
            self.namespace.bury_all()

    def die_inside(self) -> None:
        with self.A.locked(3, shared=True), self.A.locked(self.rows, undo=self.first_undo):
            self.A[self.rows, 0] += 1
            kill_here()


class LockScene(Scene):
    """The row is guarded by a named lock."""

    def prepare(self) -> None:
        super().prepare()
        self.lock = self.team.lock("L")

    def operate(self) -> None:
        assert self.lock.acquire(timeout=SECONDS)
        self.A[0] += 1
        self.lock.release()

    def survive(self, *, shared: bool = False) -> bool:
        try:
            must_recover = not self.lock.acquire(timeout=SECONDS)
        except pydsm.OwnerDiedError as death:
            must_recover = self.is_dead(death.holder)
            assert self.lock.acquire(timeout=SECONDS, recover=True)
        self.count_mine()
        self.lock.release()
        return must_recover

    def check_cleared(self, died: bool) -> None:
        assert self.lock.acquire(timeout=0)
        self.lock.release()
        super().check_cleared(died)
