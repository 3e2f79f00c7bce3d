"""Arrays, locks and barriers of a team with observers do what plain ones do, and tell of it."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm import instruments
from pydsm.array import GlobalArray
from pydsm.core.events import observers
from pydsm.observed import ObservedArray
from tests import recording
from tests.effort import LONG
from tests.memory import contract
from tests.memory.contract import *  # noqa: F403
from tests.memory.contract import NewTeam


@pytest.fixture(params=["plain", "twice", "polls"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(instruments._MODULES, "trace", "tests.recording")
    if not LONG:
        monkeypatch.setattr(contract, "ROUNDS", 48)  # the memories' own tests do all of them


@pytest.fixture
def new_team(how: str) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, trace=how, **options)

    return make


def _seen(team: pydsm.Team, program: Any, *args: Any) -> list[tuple[Any, ...]]:
    def call(worker: pydsm.Worker) -> list[tuple[Any, ...]]:
        recording.seen.clear()
        program(worker, *args)
        return recording.seen[:]

    found: list[tuple[Any, ...]] = team.run(call)[0]
    return found


def test_a_team_that_was_asked_for_nothing_has_plain_arrays_and_no_observers() -> None:
    with pydsm.Team(1) as team:
        A, lock = team.array("A", 3), team.lock("L")
        assert type(A) is GlobalArray
        assert type(lock) is pydsm.Lock
        assert team.run(lambda worker: (observers(), type(worker["A"]) is GlobalArray)) == [((), True)]


def test_a_region_is_told_of_before_and_after_each_step() -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["A"][2:].locked([0, 3], shared=True):
            pass

    with pydsm.Team(1, trace="plain") as team:
        team.array("A", (8, 2), stripes=4)
        hold = ("A", [[2, 3], [5, 6]], [1, 2], True)
        assert _seen(team, program) == [
            ("acquiring", hold),
            ("acquired", hold),
            ("releasing", False, hold),
            ("released", hold),
        ]


def test_regions_of_several_arrays_are_told_of_together() -> None:
    def program(worker: pydsm.Worker) -> None:
        with pydsm.locked((worker["B"], 1), (worker["A"], slice(0, 2)), undo=True) as (row, rows):
            row[...] = 5
            rows += 2

    with pydsm.Team(1, trace="plain") as team:
        A, B = team.array("A", 4), team.array("B", 4)
        holds = ("B", [[1, 2]], [1], False), ("A", [[0, 2]], [0, 1], False)
        assert _seen(team, program) == [
            ("acquiring", *holds),
            ("acquired", *holds),
            ("releasing", False, *holds),
            ("released", *holds),
        ]
        assert (A.tolist(), B.tolist()) == ([2, 2, 0, 0], [0, 5, 0, 0])


@pytest.mark.parametrize("several", [False, True])
def test_undo_puts_rows_back_before_the_release_is_told_of(several: bool) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        try:
            with pydsm.locked((A, 1), undo=True) if several else A.locked(1, undo=True):
                A[1] = 7
                raise ZeroDivisionError
        except ZeroDivisionError:
            recording.seen.append(("value", float(A[1])))

    with pydsm.Team(1, trace="plain") as team:
        A = team.array("A", 4)
        A[1] = 3
        seen = _seen(team, program)
        assert [event[:2] for event in seen[2:]][:1] == [("releasing", True)]
        assert seen[-1] == ("value", 3)
        assert A[1] == 3


def test_who_gets_no_region_says_so_and_holds_nothing() -> None:
    def program(worker: pydsm.Worker) -> list[Any]:
        A = worker["A"]
        if worker.rank == 0:
            with A.locked(0):
                worker.barrier()
                worker.barrier()
            return []
        worker.barrier()
        try:
            with A.locked(slice(0, 2), timeout=0.01):
                raise AssertionError("both are inside")
        except pydsm.LockTimeoutError:
            pass
        worker.barrier()
        return [event[0] for event in recording.seen if "acqui" in event[0]] + [A.holds(1)]

    with pydsm.Team(2, trace="plain") as team:
        team.array("A", 4)
        assert team.run(program)[1] == ["acquiring", "not acquired", False]


@pytest.mark.parametrize("step", ["acquired", "releasing"])
@pytest.mark.parametrize("what", ["region", "lock"])
def test_an_observer_that_fails_leaves_nothing_held(step: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **named: Any) -> None:
        raise MemoryError(step)

    def program(worker: pydsm.Worker) -> list[Any]:
        A, lock = worker["A"], worker["L"]
        monkeypatch.setattr(recording.Recorder, step, refuse)
        with pytest.raises(MemoryError, match=step), lock if what == "lock" else A.locked(1):
            pass
        monkeypatch.undo()
        last = recording.seen[-1][0]
        return [last, A.holds(1), lock.held()]

    with pydsm.Team(1, trace="plain") as team:
        team.array("A", 4)
        team.lock("L")
        last = "not acquired" if step == "acquired" else "released"
        assert team.run(program) == [[last, False, False]]


def test_atomic_operations_name_their_elements() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        A.fetch_add((1, -1), 2)
        A[:, 1].load_acquire(2)
        A.accumulate([2, 0, 2], 1)
        A.wait_until((1, 2), "==", 2)
        A.T.store_release((0, 1), 9)
        with pytest.raises(IndexError):
            A.swap((3, 0), 1)

    with pydsm.Team(1, trace="plain") as team:
        A = team.array("A", (3, 3), int)
        seen = _seen(team, program)
        assert [event[1:] for event in seen if event[0] == "atomic"] == [
            ("A", "fetch_add", True, [5]),
            ("A", "load_acquire", False, [7]),
            ("A", "accumulate", True, [0, 1, 2, 6, 7, 8]),
            ("A", "wait_until", False, [5]),
            ("A", "store_release", True, [3]),
            ("A", "swap", True, []),
        ]
        assert [event[1] for event in seen if event[0] == "atomic ended"] == [False] * 5 + [True]
        assert A.tolist() == [[1, 1, 1], [9, 0, 2], [2, 2, 2]]


@pytest.mark.parametrize("how", ["plain", "polls"])
def test_waiting_for_an_element_that_does_not_come_ends_in_time(how: str) -> None:
    def program(worker: pydsm.Worker) -> None:
        with pytest.raises(pydsm.WaitTimeoutError, match="element 0 of array 'A' == 1"):
            worker["A"].wait_until(0, "==", 1, timeout=0.02)
        with pytest.raises(ValueError, match="op is one of"):
            worker["A"].wait_until(0, "=", 1)

    with pydsm.Team(1, trace=how) as team:
        team.array("A", 1, int)
        team.run(program)


def test_named_locks_fences_shares_and_barriers_are_told_of() -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["L"]:
            assert not worker["L"].acquire(timeout=0) or worker["L"].release() is None
        worker["A"].fence(1)
        list(worker.share(2, chunk=1))
        worker.barrier()

    with pydsm.Team(1, trace="plain") as team:
        team.lock("L")
        team.array("A", 2)
        seen = [event[0] if event[0] != "fence" else event for event in _seen(team, program)]
        taken = ["acquiring", "acquired"]
        given = ["releasing", "released"]
        shares = ["sharing"] * 3
        barrier = ["arriving", "met", "departed"]
        assert seen == [*taken, *taken, *given, *given, ("fence", "A", 1), *shares, *barrier]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_have_observed_arrays_however_they_get_them(start: Any) -> None:
    with pydsm.Team(2, trace="plain", start=start) as team:
        A = team.array("A", 3, int)
        team.lock("L")
        assert team.run(_classes, A[1:]) == [["ObservedArray"] * 5 + ["ObservedLock"]] * 2
        assert A.tolist() == [0, 2, 0]
        assert "GlobalArray" in repr(A)
        assert type(pickle.loads(pickle.dumps(A))) is ObservedArray


def _classes(worker: pydsm.Worker, view: Any) -> list[str]:
    if worker.rank == 0:
        pydsm.create("B", 2)
    worker.barrier()
    view.fetch_add(0, 1)
    found = [worker["A"], view, worker["B"], pydsm.attach("A"), pydsm.attach("A", readonly=True), worker["L"]]
    assert not found[4].flags.writeable
    return [type(one).__qualname__ for one in found]


def test_the_parent_is_told_of_runs_and_deaths() -> None:
    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 7

    team = pydsm.Team(2, trace="plain", on_death="continue")
    with team:
        team.array("A", 1)
        told = team.timeline
        results = team.run(program)
        assert told == [("open", 2), ("before", ["A"]), ("lost", 1), ("after", results)]
        assert results[0] == 7
    assert told[-1] == ("close",)


def test_a_failed_worker_is_seen_to_end() -> None:
    def program(worker: pydsm.Worker, path: str) -> None:
        class Witness(recording.Recorder):
            def end(self, *, failed: bool) -> None:
                with open(path, "w") as file:
                    file.write(str(failed))

        observers()[0].__class__ = Witness
        raise ZeroDivisionError

    with pydsm.Team(1, trace="plain") as team:
        path = f"/tmp/{team.namespace}"
        with pytest.raises(pydsm.WorkerError):
            team.run(program, path)
        with open(path) as file:
            assert file.read() == "True"
        os.unlink(path)
        assert team.timeline[-1] == ("after", None)


def test_a_child_of_a_worker_is_observed_by_nobody() -> None:
    def program(worker: pydsm.Worker) -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(len(observers()))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    with pydsm.Team(1, trace="plain") as team:
        assert team.run(program) == [0]


def test_what_was_not_asked_for_is_not_there_to_be_looked_at() -> None:
    with pydsm.Team(1) as team:
        with pytest.raises(RuntimeError, match="check='happens-before'"):
            _ = team.races
        with pytest.raises(RuntimeError, match="trace=True"):
            _ = team.timeline
        assert team.memory == "coherent"
    with pytest.raises(ValueError, match="memory is one of 'coherent', 'release', 'entry', not 'strong'"):
        pydsm.Team(1, memory="strong")


def test_results_are_those_of_numpy() -> None:
    with pydsm.Team(1, trace="plain") as team:
        A = team.array("A", (3, 2))
        A[:] = np.arange(6).reshape(3, 2)
        assert type(A + 1) is np.ndarray
        assert type(A[1:]) is ObservedArray
        assert A[1:].name == "A"
