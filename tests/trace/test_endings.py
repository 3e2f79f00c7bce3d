"""How workers end is told as it was: returned, raised, told to stop, dead."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

import pydsm
from pydsm.trace import Timeline
from pydsm.trace.outcomes import endings
from tests.trace.programs import die_inside, fail_inside, give_up, many, team


def embrace(worker: pydsm.Worker) -> None:
    """Take two rows in opposite orders."""
    A = worker["A"]
    with A.locked(worker.rank), A.locked(1 - worker.rank):
        pass


def wait_in_vain(worker: pydsm.Worker) -> None:
    """Wait for an element that nobody changes."""
    try:
        worker["A"].wait_until(0, "==", 1, timeout=0.01)
    except pydsm.WaitTimeoutError:
        return
    raise AssertionError("nobody has changed it")


def fail_alone(worker: pydsm.Worker) -> None:
    """Raise in worker 1, while worker 0 waits for an element that nobody changes."""
    if worker.rank == 1:
        worker["A"].wait_until(1, "==", 1)
        raise ValueError("first line\nsecond line")
    worker["A"].store_release(1, 1)
    worker["A"].wait_until(0, "==", 1)


def failing(function: Any, **options: Any) -> Timeline:
    with team(2, **options) as crew:
        with pytest.raises(pydsm.WorkerError):
            crew.run(function)
        found: Timeline = crew.timeline
    return found


def ends(timeline: Timeline) -> dict[int, tuple[str, str]]:
    return {event.rank: (event.outcome, event.because) for event in timeline.events if event.kind == "run"}


def test_a_deadlock_is_called_one() -> None:
    timeline = failing(embrace, schedule="seed=0")
    found = ends(timeline)
    (doomed,) = (rank for rank, (outcome, _) in found.items() if outcome == "failed")
    assert found[doomed][1].startswith("DeadlockError: deadlock at ")
    assert found[1 - doomed] == ("stopped", "")
    (given_up,) = (event for event in timeline.events if event.outcome == "gave up" and event.rank == doomed)
    assert given_up.because == "deadlock"
    assert not [event for event in timeline.events if event.kind == "death"]
    told = timeline.summary().endings
    assert told[0].startswith("Deadlock: ")
    assert told[1].startswith(f"Worker {doomed} raised DeadlockError: deadlock at ")
    assert told[2:] == [f"Worker {1 - doomed} was told to stop, because another one failed."]
    assert told[0] in str(timeline.summary())


def test_who_is_told_to_stop_is_not_dead() -> None:
    timeline = failing(fail_alone)
    assert ends(timeline) == {0: ("stopped", ""), 1: ("failed", "ValueError: first line")}
    (wait,) = (event for event in timeline.events if event.kind == "wait_until" and event.rank == 0)
    assert (wait.outcome, wait.because) == ("failed", "told to stop")
    assert [worker.died for worker in timeline.summary().workers] == [0, 0]


def test_a_barrier_that_broke_is_what_ended_the_wait() -> None:
    timeline = failing(fail_inside)
    assert ends(timeline)[0] == ("failed", "ValueError: on purpose")
    broken = [event for event in timeline.events if event.kind == "barrier" and event.outcome]
    assert all(event.because in ("the barrier broke", "told to stop") for event in broken)
    run = {event.rank: event.end for event in timeline.events if event.kind == "run"}
    assert all(event.end <= run[event.rank] for event in broken)


def test_a_timeout_is_why_a_wait_was_given_up() -> None:
    with team(2) as crew:
        crew.run(give_up)
        (event,) = (event for event in crew.timeline.events if event.outcome == "gave up")
        assert event.because == "timed out"
        assert crew.timeline.summary().endings == []
    with team(1) as crew:
        crew.run(wait_in_vain)
        (event,) = (event for event in crew.timeline.events if event.kind == "wait_until")
        assert event.because == "timed out"


def test_a_death_is_told_beside_who_returned() -> None:
    with team(2, on_death="continue") as crew:
        crew.run(die_inside, 0)
        crew.run(many, 0)  # nobody asks for the rows that the dead one held
        told = crew.timeline.summary().endings
    assert told[0].startswith("Run 1: Worker 0 did not live to the end")
    assert told[1:] == ["Run 1: Worker 1 returned."]


def test_of_many_runs_that_failed_some_are_told_and_the_rest_counted() -> None:
    with team(1) as crew:
        for _ in range(7):
            with pytest.raises(pydsm.WorkerError):
                crew.run(fail_inside)
        timeline = crew.timeline
    told = endings(timeline.events, timeline.runs)
    assert told[-2:] == ["Run 5: Worker 0 raised ValueError: on purpose", "2 more runs did not end well."]


def test_the_warning_of_a_full_timeline_points_at_the_line_that_ran_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDSM_TRACE_LIMIT", "5")
    with team(1) as crew, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = inspect.currentframe()
        assert frame is not None
        line = frame.f_lineno + 1
        crew.run(many, 20)
    (warning,) = (each for each in caught if "lacks the last events" in str(each.message))
    assert (warning.filename, warning.lineno) == (__file__, line)
