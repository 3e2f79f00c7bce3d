"""The suite of planted races: all of them are found, with their lines, and none is invented."""

from __future__ import annotations

import inspect

import pytest

from tests.effort import LONG
from tests.races.programs import CATEGORIES, Program, programs
from tests.races.running import lines_of, run

_REPEATS = 20 if LONG else 1
_ALL = programs()


def _problem(program: Program, size: int, check: str) -> str:
    """Return what is wrong with what was found in a program; nothing if all is well."""
    races = run(program, size, check)
    found = {lines_of(race) for race in races}
    file = inspect.getsourcefile(program.function)
    if not all(race.access.place.file == race.previous.place.file == file for race in races):
        return f"places in other files: {races}"
    if not program.has_race:
        invented = [race for race in races if not race.possible]
        false_alarm = bool(races) != (program.possible and check == "predict")
        return "".join(map(str, invented or races)) if invented or false_alarm else ""
    missed = set(program.races) - found if program.only in ("", check) else set()
    invented = {line for pair in found for line in pair} - program.lines
    return f"missed {missed}, invented {invented}" if missed or invented else ""


def _check_all(category: str, size: int, check: str) -> None:
    asked = [program for program in _ALL if program.category == category]
    problems = {
        program.name: problem
        for program in (asked if LONG or size == 2 else asked[::3])  # what is planted is the same
        for _ in range(_REPEATS)
        if (problem := _problem(program, size, check))
    }
    assert problems == {}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.timeout(600)
def test_every_planted_race_is_found_and_none_invented(category: str, size: int) -> None:
    _check_all(category, size, "happens-before")


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.timeout(600)
def test_predict_finds_what_one_order_of_the_workers_hides(category: str) -> None:
    _check_all(category, 2, "predict")


def test_the_suite_is_large_enough() -> None:
    assert sum(program.has_race for program in _ALL) >= 40
    assert sum(not program.has_race for program in _ALL) >= 40
    assert all(program.races for program in _ALL if program.has_race)
