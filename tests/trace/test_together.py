"""A timeline has what the other observers of a worker tell: replicas that move, and races."""

from __future__ import annotations

from typing import Any

import pytest

import pydsm
from pydsm.trace.chrome import chrome_events
from tests.trace.chromeformat import check_flows, check_nesting
from tests.trace.programs import kinds


def hand_over(worker: pydsm.Worker) -> int:
    """Change a row in turns, under its lock."""
    A = worker["A"]
    for _ in range(3):
        with A.locked(1):
            A[1] += 1
        worker.barrier()
    return int(A[1])


def race(worker: pydsm.Worker) -> None:
    """Write one element without a lock, both at once."""
    worker["A"][2] = worker.rank
    worker.barrier()


@pytest.mark.parametrize("memory", ["release", "entry"])
def test_pushes_and_pulls_are_steps_of_the_timeline(memory: str) -> None:
    with pydsm.Team(2, trace=True, memory=memory) as team:
        team.array("A", 4, int)
        assert team.run(hand_over) == [6, 6]
        timeline = team.timeline
    steps = [event for event in timeline.events if event.kind in ("push", "pull")]
    assert {event.kind for event in steps} == {"push", "pull"}
    assert all(str(event.parts[0]) == "A[1]" for event in steps)
    pushed = {(event.rank, event.details["interval"]) for event in steps if event.kind == "push"}  # type: ignore[index]
    for event in steps:
        details: Any = event.details
        assert set(details) >= {"array", "rows", "elements", "rank", "interval", "clock", "values"}
        assert len(details["values"]) == 4
        assert (details["rank"], details["interval"]) in pushed
        assert (details["rank"] == event.rank) == (event.kind == "push")
        assert event.where.rpartition("/")[2].startswith("test_together.py:")


def test_a_race_is_a_moment_of_the_timeline(capfd: pytest.CaptureFixture[str]) -> None:
    with pydsm.Team(2, trace=True, check="happens-before") as team:
        team.array("A", 4, int)
        team.run(race)
        timeline = team.timeline
        assert len(team.races) == 1
    (event,) = (event for event in timeline.events if event.kind == "race")
    assert str(event.parts[0]) == "A[2]"
    assert event.details is not None
    assert "data race on array 'A'" in event.details["race"]
    assert timeline.summary().races == 1
    assert "data race" in capfd.readouterr().err


def test_a_controlled_schedule_has_a_timeline_too() -> None:
    with pydsm.Team(2, trace=True, schedule="seed=3") as team:
        team.array("A", 4, int)
        assert team.run(hand_over) == [6, 6]
        timeline = team.timeline
    assert kinds(timeline.events)["lock"] == 6
    timed = [event for event in chrome_events(timeline) if event["ph"] != "M"]
    check_nesting(timed)
    check_flows(timed)
