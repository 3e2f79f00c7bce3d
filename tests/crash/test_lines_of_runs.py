"""Death at every line of a worker's start and end, of a barrier, and of the program that runs a team."""

from __future__ import annotations

import mmap
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest

import pydsm
from pydsm import team as teams
from pydsm.core import names
from pydsm.core.layout import Slot
from pydsm.ipc import catalog
from pydsm.sync.slots import BARRIER
from tests.crash.children import SECONDS, until
from tests.crash.lines import PATIENCE, TORTURE, Point, Scenario, crash_at_every_line
from tests.crash.scenes import Scene, check_reclaimed, names_of

_VICTIM = 1


pytestmark = pytest.mark.timeout(PATIENCE)


class _Worker(Scene):
    """The victim is a worker of a run."""

    size = 3
    on_death: Literal["abort", "continue"] = "continue"
    crashes = 0

    def make_team(self) -> pydsm.Team:
        return pydsm.Team(self.size, on_death=self.on_death)

    def attempt(self, count: int) -> Point | None:
        with mmap.mmap(-1, mmap.PAGESIZE) as note:

            def say(what: Any) -> None:
                note.write(pickle.dumps(what))

            self.set_trap: Callable[[], None] = lambda: self.trap(count, say)
            self.run()
            return pickle.loads(note[:]) if note[0] else None

    def run(self) -> None:
        self.results = self.team.run(self.work_in_time)

    def work_in_time(self, worker: pydsm.Worker) -> Any:
        """Be a worker that does not hang, or dies of it."""
        signal.alarm(SECONDS)
        return self.work(worker)

    def work(self, worker: pydsm.Worker) -> Any:
        """Be a worker."""
        raise NotImplementedError

    def check(self, died: bool) -> None:
        self.check_results(died)
        self.crashes += 1
        if TORTURE or self.crashes % 5 == 1:  # it takes as long as all the rest
            assert self.team.run(lambda worker: worker.barrier()) == [None] * self.size  # the team is whole again
        self.team.terminate()
        assert names_of(self.team.namespace) == []

    def check_results(self, died: bool) -> None:
        """See that the survivors have returned, and the victim if it lived."""
        victim = self.results.pop(_VICTIM)
        assert self.results == ["through"] * (self.size - 1)
        if died:
            assert isinstance(victim, pydsm.WorkerDiedError)
            assert (victim.rank, victim.exitcode) == (_VICTIM, -9)
        else:
            assert victim == "through"


class _BarrierFirst(_Worker):
    """The victim comes to the barrier before all others, and parks."""

    points = 40
    meetings = 2
    """Which barrier of the run it is."""

    def work(self, worker: pydsm.Worker) -> str:
        worker.barrier()  # all are there
        if worker.rank == _VICTIM:
            self.set_trap()
        else:
            until(lambda: self.is_parked(_VICTIM) or not self.namespace.is_alive(_VICTIM), "the victim parks, or dies")
        worker.barrier()
        sys.settrace(None)
        worker.barrier()
        return "through"

    def is_parked(self, rank: int) -> bool:
        slots = self.namespace.slots
        waits = slots.get(rank, Slot.WAIT) and slots.get(rank, Slot.KIND) == BARRIER
        has_come = slots.get(rank, Slot.BARRIER) == self.meetings  # else it still leaves the one before
        return bool(waits) and has_come and slots.get(rank, Slot.CHECKED) > 3  # it has been through all of the wait


class _BarrierLast(_BarrierFirst):
    """The victim comes when all others are parked, and wakes them: a native call, with little around it."""

    points = 4
    meetings = 1

    def work(self, worker: pydsm.Worker) -> str:
        if worker.rank == _VICTIM:
            until(lambda: self.is_parked(0) and self.is_parked(2), "the others are parked")
            self.set_trap()
        worker.barrier()
        sys.settrace(None)
        worker.barrier()
        return "through"


@pytest.mark.parametrize("scene", [_BarrierFirst, _BarrierLast])
def test_survivors_get_through_the_barrier_that_a_worker_dies_in(scene: type[_BarrierFirst]) -> None:
    assert len(crash_at_every_line(scene())) > scene.points


class _WholeLife(_Worker):
    """From where a worker begins to where its process ends."""

    stride = 2
    size = 2

    def attempt(self, count: int) -> Point | None:
        original: Callable[..., None] = teams.work

        def work(descriptor: int, task: Any, *rest: Any) -> None:
            if task.rank == _VICTIM:
                self.set_trap()
            original(descriptor, task, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(teams, "work", work)
            return super().attempt(count)

    def work(self, worker: pydsm.Worker) -> str:
        try:
            with self.A.locked(0, timeout=SECONDS, undo=True):
                self.count()
        except pydsm.OwnerDiedError as death:
            if death.rank != _VICTIM:
                raise
            with self.A.locked(0, timeout=SECONDS, recover=True, undo=True):
                self.count()
        return "through"

    def is_dead(self, who: str) -> bool:
        return who.startswith(f"rank {_VICTIM} ")

    def check(self, died: bool) -> None:
        self.undo = True
        self.survive()
        self.entered += 1
        self.check_count(died)
        super().check(died)

    def check_results(self, died: bool) -> None:
        super().check_results(died and self.results[_VICTIM] != "through")  # it may have died after its report


class _WholeLifeWhereDeathAborts(_WholeLife):
    """The others are stopped, and what they were in the middle of is undone too."""

    stride = 8
    on_death = "abort"
    before = -1

    def run(self) -> None:
        self.failure = None
        try:
            super().run()
        except pydsm.WorkerDiedError as failure:
            self.failure = failure

    def check(self, died: bool) -> None:
        assert died or self.failure is None
        if self.failure is not None:
            assert (self.failure.rank, self.failure.exitcode) == (_VICTIM, -9)
            self.results = ["through", self.failure]
        super().check(died)

    def check_count(self, died: bool) -> None:
        self.check_whole()
        added = int(self.A[0, 0]) - self.entered
        assert added in range(self.before, self.after + 1) if self.failure else added == self.after


class _Program(Scenario):
    """The program dies while it runs a team; its workers die with it."""

    stride = 3

    def prepare(self) -> None:
        self.namespace = names.new_namespace()

    def approach(self) -> None:
        self.team = pydsm.Team(2, namespace=self.namespace)
        self.A = self.team.array("A", 3, int)

    def operate(self) -> None:
        self.team.run(self.work)
        self.team.terminate()

    def work(self, worker: pydsm.Worker) -> None:
        with self.A.locked(worker.rank):
            self.A[worker.rank] += 1
        worker.barrier()

    def check(self, died: bool) -> None:
        check_reclaimed(self.namespace)  # as soon as the workers are dead too

    def clear(self) -> None:
        catalog.reclaim()


def test_a_worker_may_die_anywhere_from_its_start_to_its_end() -> None:
    assert len(crash_at_every_line(_WholeLife())) > 50


def test_a_run_that_a_worker_dies_in_ends_and_the_next_one_is_whole() -> None:
    assert len(crash_at_every_line(_WholeLifeWhereDeathAborts())) > 20


def test_a_program_that_dies_while_it_runs_a_team_leaves_nothing() -> None:
    assert len(crash_at_every_line(_Program())) > 40
