"""Every lesson has all its parts, and its wrong programs are as wrong as it says, each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.effort import LONG
from tests.lessons.pages import LESSONS, SECTIONS, Block, blocks, headings, run_again, sections

TIMES = 20 if LONG else 3
REPEATS_ITSELF = re.compile(r"for _ in range\(\d+\)\}")
"""What a program does that prints the set of several results, and is run by tests/test_docs.py as it is."""
EACH = pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
WRONG = [
    pytest.param(block, id=f"{page.stem}-{block.section}")
    for page in LESSONS
    for block in blocks(page)
    if block.section in ("Program", "Exercise")
    and block.prints is not None
    and (LONG or not REPEATS_ITSELF.search(block.code))
]


def test_there_are_ten_lessons_and_the_overview_lists_them_in_order() -> None:
    overview = (LESSONS[0].parent / "README.md").read_text()
    places = [overview.index(f"({page.name})") for page in LESSONS]
    assert [page.name[:2] for page in LESSONS] == [f"{number:02}" for number in range(1, 11)]
    assert places == sorted(places)


@EACH
def test_a_lesson_has_its_parts_in_order(page: Path) -> None:
    assert [name for name in headings(page) if name in SECTIONS] == SECTIONS


@EACH
def test_a_lesson_says_how_long_it_takes_and_what_it_needs(page: Path) -> None:
    opening = page.read_text().split("## Program")[0]
    assert f"# Lesson {int(page.name[:2])}: " in opening
    assert " minutes. Needs " in opening


@EACH
def test_a_lesson_asks_before_it_shows(page: Path) -> None:
    parts = sections(page)
    assert parts["Program"].count("```python") >= 1
    assert "?" in parts["Predict"]
    assert "```text" not in parts["Program"] + parts["Predict"]
    assert "```text" in parts["Run"]


@EACH
def test_a_lesson_s_program_exercise_and_solution_run_and_print_what_is_written(page: Path) -> None:
    shown = {block.section for block in blocks(page) if block.prints is not None}
    assert {"Program", "Exercise", "Solution"} <= shown


@EACH
def test_a_solution_prints_something_other_than_its_exercise(page: Path) -> None:
    exercise = {block.prints for block in blocks(page) if block.section == "Exercise"}
    solution = {block.prints for block in blocks(page) if block.section == "Solution"}
    assert not exercise & solution


@pytest.mark.timeout(600 if LONG else 60)
@pytest.mark.parametrize("block", WRONG)
def test_a_wrong_program_is_wrong_in_the_same_way_each_time(block: Block) -> None:
    assert run_again(block.code, TIMES) == {block.prints}
