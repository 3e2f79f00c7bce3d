"""Other observers of a worker are told what its memory moves; other instruments work on every memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm import instruments
from tests import recording


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    def note(self: Any, kind: str, details: dict[str, Any]) -> None:
        recording.seen.append((kind, details))

    monkeypatch.setitem(instruments._MODULES, "trace", "tests.recording")
    monkeypatch.setattr(recording.Recorder, "note", note)


@pytest.mark.usefixtures("told")
def test_pushes_and_pulls_say_what_whose_and_what_the_replica_has_then() -> None:
    def program(worker: pydsm.Worker) -> list[Any]:
        A, B = worker["A"], worker["B"]
        if worker.rank == 0:
            with A.locked([0, 2, 3]):
                A[0], A[2], A[3] = 5, 6, 7
            B[0] = 2
        worker.barrier()
        if worker.rank == 1:
            with A.locked(1) as row:
                row += 1
        worker.barrier()
        if worker.rank == 0:
            with A.locked(1):
                pass
        return [event for event in recording.seen if event[0] in ("push", "pull")]

    with pydsm.Team(2, memory="release", trace="plain") as team:
        team.array("A", (4, 1), int)
        team.array("B", 100)
        zero, one = team.run(program)
    first = {"array": "A", "rows": [[0, 1], [2, 4]], "elements": 3, "rank": 0, "interval": 1, "clock": [1, 0]}
    assert zero[0] == ("push", {**first, "values": [[5], [0], [6], [7]]})
    assert [(kind, event["array"], event["rank"], event["values"]) for kind, event in zero[1:2]] == [
        ("push", "B", 0, None)
    ]
    assert ("pull", {**first, "values": [[5], [0], [6], [7]]}) in one  # in the barrier
    own = {"array": "A", "rows": [[1, 2]], "elements": 1, "rank": 1, "interval": 1, "clock": [2, 1]}
    assert ("push", {**own, "values": [[5], [1], [6], [7]]}) in one


@pytest.mark.usefixtures("told")
def test_a_pull_names_the_interval_it_brings() -> None:
    def program(worker: pydsm.Worker) -> list[Any]:
        A, flag = worker["A"], worker["flag"]
        if worker.rank == 0:
            A[1:3] = 3
            flag.store_release(0, 1)
        else:
            flag.wait_until(0, "==", 1)
        return [event for event in recording.seen if event[0] == "pull"]

    with pydsm.Team(2, memory="entry", trace="plain") as team:
        team.array("A", 4, int)
        team.array("flag", 1, int)
        pulls = team.run(program)[1]
    about = {"rank": 0, "interval": 1, "clock": [1, 0]}
    assert pulls == [
        ("pull", {"array": "A", "rows": [[1, 3]], "elements": 2, "values": [0, 3, 3, 0], **about}),
        ("pull", {"array": "flag", "rows": [[0, 1]], "elements": 1, "values": [1], **about}),
    ]


@pytest.mark.usefixtures("told")
def test_values_that_are_no_numbers_are_told_as_text() -> None:
    def program(worker: pydsm.Worker) -> Any:
        with worker["A"].locked(0):
            worker["A"][0] = (1, b"x")
        return [event[1]["values"] for event in recording.seen if event[0] == "push"]

    with pydsm.Team(1, memory="release", trace="plain") as team:
        team.array("A", 2, [("x", np.int8), ("y", "S1")])
        assert team.run(program) == [[["(1, b'x')", "(0, b'')"]]]


def count(worker: pydsm.Worker) -> int:
    A = worker["A"]
    for _ in range(5):
        with A.locked(0):
            A[0] += 1
    A.fetch_add(1, 1)
    A.wait_until(1, "==", worker.size)
    worker.barrier()
    return int(A[0])


@pytest.mark.parametrize("memory", ["release", "entry"])
@pytest.mark.parametrize("option", [{"schedule": 3}, {"check": "happens-before"}, {"trace": True}], ids=str)
def test_schedules_checks_and_timelines_work_on_replicas(memory: str, option: dict[str, Any]) -> None:
    with pydsm.Team(2, memory=memory, **option) as team:
        A = team.array("A", 2, int)
        for run in range(1, 4):
            A[1] = 0
            assert team.run(count) == [10 * run] * 2
        assert A.tolist() == [30, 2]
        if "check" in option:
            assert team.races == ()
