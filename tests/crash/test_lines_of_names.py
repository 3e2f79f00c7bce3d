"""Death at every line of what makes, finds and removes names in shared memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pydsm
from pydsm.core import names
from pydsm.ipc import catalog, shm
from pydsm.sync import namespace as namespaces
from tests.crash.children import fork, kill_here, until
from tests.crash.lines import PATIENCE, Scenario, crash_at_every_line
from tests.crash.scenes import check_reclaimed, names_of

pytestmark = pytest.mark.timeout(PATIENCE)


class Bystander:
    """A living team that nothing may happen to."""

    def __init__(self, team: pydsm.Team) -> None:
        self.team = team
        team.array("A", 3, int)
        team.lock("L")
        self.names = names_of(team.namespace)

    def check(self) -> None:
        assert names_of(self.team.namespace) == self.names
        assert pydsm.attach(f"{self.team.namespace}/A").tolist() == [0, 0, 0]


@pytest.fixture
def bystander() -> Iterator[Bystander]:
    with pydsm.Team(1) as team:
        yield Bystander(team)


class _Named(Scenario):
    """An operation on names of a namespace that dies with its victim."""

    def __init__(self, bystander: Bystander) -> None:
        self.bystander = bystander

    def prepare(self) -> None:
        self.namespace = names.new_namespace()

    def check(self, died: bool) -> None:
        self.bystander.check()
        check_reclaimed(self.namespace)
        self.bystander.check()

    def clear(self) -> None:
        catalog.reclaim()


class _NewTeam(_Named):
    stride = 2

    def operate(self) -> None:
        pydsm.Team(2, namespace=self.namespace)

    def check(self, died: bool) -> None:
        until(self.can_be_made, "the next team of that name takes the names of the dead one back")
        super().check(died)

    def can_be_made(self) -> bool:
        try:
            team = pydsm.Team(2, namespace=self.namespace)
        except pydsm.NameExistsError:  # another program is just taking them back
            return False
        with team:
            assert names_of(self.namespace) == [names.team_name(self.namespace)]
            assert team.array("A", 2).tolist() == [0, 0]
        return True


class _NewArray(_Named):
    stride = 3

    def operate(self) -> None:
        pydsm.create(f"{self.namespace}/A", (4, 2), int)[:] = 1

    def check(self, died: bool) -> None:
        super().check(died)
        assert pydsm.create(f"{self.namespace}/A", 3).tolist() == [0, 0, 0]
        namespaces._open[self.namespace].close()
        assert names_of(self.namespace) == []


class _Terminate(_Named):
    visits = 4

    def approach(self) -> None:
        self.team = pydsm.Team(2, namespace=self.namespace)
        A = self.team.array("A", 3, int)
        self.team.lock("L")
        with A.locked(0):
            self.team._namespace.parking.semaphore(A._table.namespace.join() - 1)

    def operate(self) -> None:
        self.team.terminate()


class _LastCloses(_Named):
    """The last process that has a namespace open removes its names."""

    stride = 2

    def approach(self) -> None:
        pydsm.create(f"{self.namespace}/A", 3, int)
        self.opened = namespaces._open[self.namespace]

    def operate(self) -> None:
        self.opened.close()


@pytest.mark.parametrize("scenario", [_NewTeam, _NewArray, _Terminate, _LastCloses])
def test_whoever_dies_making_or_removing_names_leaves_nothing_that_is_not_reclaimed(
    bystander: Bystander, scenario: type[_Named]
) -> None:
    assert len(crash_at_every_line(scenario(bystander))) > 10


class _Reclaim(_Named):
    """A reclaimer dies while it takes back what a killed program left."""

    visits = 3

    def prepare(self) -> None:
        super().prepare()
        until(self.has_left_names, "a dead program's names are there, not taken back by another one")

    def has_left_names(self) -> bool:
        with fork(lambda say: self.leave_names()) as dead:
            assert dead.hear() is None
        return len(names_of(self.namespace)) == 5

    def leave_names(self) -> None:
        team = pydsm.Team(2, namespace=self.namespace)
        A = team.array("A", 3, int)
        team.lock("L")
        with A.locked(0):
            team._namespace.parking.semaphore(A._table.namespace.join() - 1)
            kill_here()

    def operate(self) -> None:
        catalog.reclaim()


class _NewTeamReclaims(_Reclaim):
    """A new team dies while it takes back what a killed one left in the namespace that it wants."""

    stride = 3
    visits = 1

    def operate(self) -> None:
        with contextlib.suppress(pydsm.NameExistsError):  # another program may be taking them back
            pydsm.Team(1, namespace=self.namespace)


@pytest.mark.parametrize("scenario", [_Reclaim, _NewTeamReclaims])
def test_the_next_reclaim_finishes_what_a_dead_reclaimer_began(bystander: Bystander, scenario: type[_Reclaim]) -> None:
    assert len(crash_at_every_line(scenario(bystander))) > 20


class _InLiving(_Named):
    """An operation on names of a namespace whose other members live on."""

    def prepare(self) -> None:
        super().prepare()
        self.team = pydsm.Team(2, namespace=self.namespace)

    def check(self, died: bool) -> None:
        catalog.reclaim()
        self.check_living(died)
        self.team.terminate()
        super().check(died)

    def check_living(self, died: bool) -> None:
        """Look at what those who live see."""

    def clear(self) -> None:
        self.team.terminate()
        super().clear()


class _TeamArray(_InLiving):
    def operate(self) -> None:
        self.make()[:] = 1

    def make(self) -> pydsm.GlobalArray:
        return self.team.array("A", 4, int)

    def check_living(self, died: bool) -> None:
        try:
            A = pydsm.attach(f"{self.namespace}/A")
        except pydsm.UnknownNameError:
            assert died
            A = self.make()
            assert A.tolist() == [0] * 4
        assert len(names_of(self.namespace)) == 3
        with A.locked(0, timeout=0):
            A[0] += 1
        self.team.delete("A")
        assert names_of(self.namespace) == [names.team_name(self.namespace)]


class _TeamLock(_InLiving):
    stride = 2

    def operate(self) -> None:
        self.team.lock("L")

    def check_living(self, died: bool) -> None:
        try:
            lock = self.team["L"]
        except pydsm.UnknownNameError:
            assert died
            lock = self.team.lock("L")
        assert lock.acquire(timeout=0)
        lock.release()


class _FileArray(_TeamArray):
    """The elements are in a file of the user's, which stays."""

    stride = 3

    def __init__(self, bystander: Bystander, path: Path) -> None:
        super().__init__(bystander)
        self.path = path

    def prepare(self) -> None:
        super().prepare()
        self.path.unlink(missing_ok=True)

    def make(self) -> pydsm.GlobalArray:
        return self.team.array("A", 4, int, file=self.path)

    def check_living(self, died: bool) -> None:
        try:
            A = pydsm.attach(f"{self.namespace}/A")
        except pydsm.UnknownNameError:
            assert died
            A = self.make()
        assert A.shape == (4,)
        self.team.delete("A")
        assert self.path.exists()


@pytest.mark.parametrize("scenario", [_TeamArray, _TeamLock])
def test_a_survivor_finds_what_a_dead_creator_made_whole_or_makes_it(
    bystander: Bystander, scenario: type[_InLiving]
) -> None:
    assert len(crash_at_every_line(scenario(bystander))) > 20


def test_a_survivor_can_make_the_array_of_a_file_that_a_dead_creator_began(bystander: Bystander) -> None:
    path = Path(shm.DIRECTORY, names.new_namespace())  # this file system has files without a name
    try:
        assert len(crash_at_every_line(_FileArray(bystander, path))) > 20
    finally:
        path.unlink(missing_ok=True)


class _Joined(_InLiving):
    """The victim joins as a stranger: it forgets what it inherited."""

    def prepare(self) -> None:
        super().prepare()
        self.A = self.team.array("A", 4, int)
        self.names = names_of(self.namespace)

    def approach(self) -> None:
        self.team._namespace.close()

    def check_living(self, died: bool) -> None:
        assert names_of(self.namespace) == self.names
        with self.A.locked(0, timeout=0):
            self.A[0] += 1


class _Attach(_Joined):
    stride = 3

    def operate(self) -> None:
        pydsm.attach(f"{self.namespace}/A")[1] = 1
        pydsm.attach(f"{self.namespace}/A", readonly=True).sum()

    def check_living(self, died: bool) -> None:
        super().check_living(died)
        assert self.A.tolist() in ([1, 0, 0, 0], [1, 1, 0, 0])


class _Leave(_Joined):
    """A process that attached leaves, and the others keep the names."""

    def approach(self) -> None:
        super().approach()
        self.A = pydsm.attach(f"{self.namespace}/A")
        with self.A.locked(0):
            pass
        self.opened = namespaces._open[self.namespace]

    def operate(self) -> None:
        self.opened.close()


class _Unlink(_Joined):
    def operate(self) -> None:
        pydsm.unlink(f"{self.namespace}/A")

    def check_living(self, died: bool) -> None:
        known = names.lock_name(self.namespace, "A") in names_of(self.namespace)
        assert died or not known
        if known:
            assert pydsm.attach(f"{self.namespace}/A").tolist() == [0] * 4
            pydsm.unlink(f"{self.namespace}/A")
        B = pydsm.create(f"{self.namespace}/A", 2)
        assert B.tolist() == [0, 0]
        pydsm.unlink(f"{self.namespace}/A")
        assert names_of(self.namespace) == [names.team_name(self.namespace)]


@pytest.mark.parametrize("scenario", [_Attach, _Leave, _Unlink])
def test_whoever_dies_attaching_leaving_or_unlinking_takes_nothing_from_the_living(
    bystander: Bystander, scenario: type[_Joined]
) -> None:
    assert len(crash_at_every_line(scenario(bystander))) > 10
