from __future__ import annotations

import pickle

import pytest

import pydsm
from pydsm.control import Control, Plan


@pytest.mark.parametrize(
    ("asked", "plan"),
    [
        (0, Plan(0)),
        ("7", Plan(7)),
        ("seed=7", Plan(7)),
        ("strategy=pct seed=7", Plan(7, "pct")),
        ("seed=7 strategy=pct depth=2 steps=40", Plan(7, "pct", 2, 40)),
    ],
)
def test_a_plan_is_read_and_written(asked: int | str, plan: Plan) -> None:
    assert Plan.read(asked) == plan
    assert Plan.read(str(plan)) == plan


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "names no seed"),
        ("pct", "seed of schedule 'pct' is an int from 0"),
        ("-1", "an int from 0"),
        (-1, "an int from 0"),
        ("strategy=pct", "names no seed"),
        ("seed=1 strategy=best", "one of random, pct, not 'best'"),
        ("seed=1 deep=2", "strategy=<random or pct>"),
        ("seed=1 seed=2", "each once at most"),
        ("seed=1 depth=0", "depth of schedule"),
        (f"seed={2**63}", "not '9223372036854775808'"),
    ],
)
def test_what_is_no_plan_is_refused_with_those_there_are(asked: int | str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("|", r"\|")):
        Plan.read(asked)


@pytest.mark.parametrize("asked", [1.5, True, [1]])
def test_what_is_neither_seed_nor_text_is_refused(asked: object) -> None:
    with pytest.raises(TypeError, match="a seed or a text"):
        Plan.read(asked)


def test_a_team_refuses_a_bad_schedule_and_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="one of random, pct"):
        pydsm.Team(2, schedule="seed=1 strategy=best")
    with pytest.raises(ValueError, match="62 workers at most, not 63"):
        pydsm.Team(63, schedule=1)


def test_the_environment_names_a_schedule_and_the_team_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDSM_SCHEDULE", "seed=3 strategy=pct")
    for asked, plan in ((None, "seed=3 strategy=pct depth=3 steps=1000"), (0, "0")):
        with pydsm.Team(1, schedule=asked) as team:
            team.run(lambda worker: None)
            assert team.schedule.plan == plan


def test_a_team_without_a_schedule_says_so() -> None:
    with pydsm.Team(1) as team, pytest.raises(RuntimeError, match="schedule=1"):
        assert team.schedule
    with pydsm.Team(1, schedule=1) as team, pytest.raises(RuntimeError, match="has not run yet"):
        assert team.schedule


def test_a_schedule_travels_to_workers_that_are_not_forked() -> None:
    assert pickle.loads(pickle.dumps(Control(Plan(7, "pct")))).plan == Plan(7, "pct")
