"""The suite of planted races: all of them are found, with their lines, and none is invented."""

from __future__ import annotations

import inspect
import os

import pytest

from tests.races.programs import Program, programs
from tests.races.running import lines_of, run

_REPEATS = 20 if os.environ.get("PYDSM_LONG") else 1
_ALL = programs()


def _named(program: Program) -> str:
    return program.name


def _check(program: Program, size: int, check: str) -> None:
    races = run(program, size, check)
    found = {lines_of(race) for race in races}
    file = inspect.getsourcefile(program.function)
    assert all(race.access.place.file == race.previous.place.file == file for race in races)
    if not program.has_race:
        assert not [race for race in races if not race.possible], "a race was invented"
        assert bool(races) == (program.possible and check == "predict")
        return
    if program.only in ("", check):
        assert set(program.races) <= found, "a planted race was missed"
    assert {line for pair in found for line in pair} <= program.lines, "a race was invented"


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("program", _ALL, ids=_named)
def test_every_planted_race_is_found_and_none_invented(program: Program, size: int) -> None:
    for _ in range(_REPEATS):
        _check(program, size, "happens-before")


@pytest.mark.parametrize("program", _ALL, ids=_named)
def test_predict_finds_what_one_order_of_the_workers_hides(program: Program) -> None:
    for _ in range(_REPEATS):
        _check(program, 2, "predict")


def test_the_suite_is_large_enough() -> None:
    assert sum(program.has_race for program in _ALL) >= 40
    assert sum(not program.has_race for program in _ALL) >= 40
    assert all(program.races for program in _ALL if program.has_race)
