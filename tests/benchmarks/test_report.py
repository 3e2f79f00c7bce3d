"""The page of the benchmarks, with made-up rows."""

from __future__ import annotations

import pytest

from benchmarks.attempts import Note, Record, attempt
from benchmarks.figure import Figure, Series
from benchmarks.measure import Comparison, Spread, Table, Target
from benchmarks.misses import Explanation, known, needed, unexplained
from benchmarks.results import from_json, to_json
from benchmarks.section import Section
from benchmarks.settings import Settings

GOOD = Comparison("lock, 2 workers", "peer", "time", [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], Target(0.6))
BAD = Comparison("lock, 4 workers", "peer", "time", [2.0, 2.0, 2.0], [2.0, 2.0, 2.0], Target(0.6))
FREE = Comparison("run", "other", "rate", [3.0], [1.5])
FIGURE = Figure(
    "curve", "It grows", "n", "time", "time", [Series("pydsm", [1, 10], [Spread(1, 2, 3), Spread(4, 5, 6)])]
)
TEXTS = [Explanation("lock", "peer", "Because of the cache."), Explanation("run", "", "Because of forks.")]


def section(*rows: object) -> Section:
    made = Section("Locks")
    for row in rows:
        made.add(row)  # type: ignore[arg-type]
    return made


def page(*rows: object, pictures: dict[str, str] | None = None) -> str:
    pytest.importorskip("rich")
    from benchmarks.report import to_markdown

    return to_markdown([section(*rows)], {"cpu": "one"}, TEXTS, pictures or {})


def test_results_come_back_from_json_as_they_were() -> None:
    table = Table("sizes", [("n", None), ("time", "time")], [["1", Spread(1, 2, 3)], ["2", "-"]])
    before = section(GOOD, FREE, table, FIGURE, Record("kept", {"a": 1.5}), Note("skipped: it", is_failure=False))
    before.others, before.took = 0.5, 2.0
    text = to_json([before], {"cpu": "one"})
    (after,), facts = from_json(text)
    assert facts == {"cpu": "one"}
    assert to_json([after], facts) == text
    assert after.comparisons == [GOOD, FREE]
    assert after.tables == [table]
    assert after.figures[0].series == FIGURE.series
    assert (after.records, after.notes, after.others) == (before.records, before.notes, 0.5)


def test_a_missed_target_says_so_in_its_line_and_in_the_sum() -> None:
    text = page(GOOD, BAD, FREE)
    assert "| <= 0.6 | yes |" in text
    assert "| <= 0.6 | missed |" in text
    assert "1 of 2 targets are reached, 1 missed." in text


def test_a_target_that_a_quartile_denies_is_just_reached() -> None:
    assert "| just yes |" in page(Comparison("a", "b", "time", [1, 1, 1, 4, 4], [2, 2, 2, 2, 2], Target(0.6)))


def test_an_explanation_is_shown_only_while_its_row_is_missed() -> None:
    assert "Because of the cache." not in page(GOOD)
    assert "Where a target is missed" not in page(GOOD)
    missed = page(GOOD, BAD, FREE)
    assert "`lock, 4 workers`: Because of the cache." in missed
    assert "Because of forks." not in missed


def test_a_miss_that_nobody_has_explained_is_listed() -> None:
    strange = Comparison("strange", "peer", "time", [2.0], [1.0], Target(1))
    assert unexplained([section(strange, BAD)], TEXTS) == ["`strange` beside peer"]
    assert "Missed without an explanation so far: `strange` beside peer." in page(strange)


def test_sections_during_which_others_were_busy_are_not_to_be_believed() -> None:
    pytest.importorskip("rich")
    from benchmarks.report import to_markdown

    quiet, busy = Section("Quiet", others=0.1), Section("Busy", others=0.9)
    text = to_markdown([quiet, busy], {}, TEXTS, {})
    assert "do not believe their numbers: Busy.\n" in text
    assert "do not believe" not in to_markdown([quiet], {}, TEXTS, {})


def test_an_explanation_is_about_rows_and_peers_that_begin_so() -> None:
    other = Comparison("lock, 4 workers", "another", "time", [2.0], [1.0], Target(1))
    assert list(needed([section(other)], TEXTS)) == []


def test_a_row_is_explained_once_by_the_first_text_that_fits() -> None:
    texts = [Explanation("lock, 4", "", "Four."), Explanation("lock", "", "Any.")]
    assert list(needed([section(BAD)], texts)) == [("`lock, 4 workers`", "Four.")]


def test_the_texts_that_come_with_the_suite_can_be_read() -> None:
    assert all(text.what and text.why for text in known())


def test_plots_stand_in_their_section_if_they_were_drawn() -> None:
    assert "![It grows](curve.png)" in page(FIGURE, pictures={"curve": "curve.png"})
    assert "curve.png" not in page(FIGURE)


def test_what_was_left_out_stands_on_the_page() -> None:
    assert "Skipped: ray is not installed.\n" in page(Note("skipped: ray is not installed"))


def settings(**given: float) -> Settings:
    return Settings(quick=True, old_python=None, say=lambda line: None, **given)  # type: ignore[arg-type]


def test_a_row_whose_package_is_missing_is_skipped_in_a_sentence() -> None:
    def make() -> list[Comparison]:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    assert list(attempt("it", settings(), make)) == [Note("skipped: it: ray is not installed")]


def test_a_row_that_fails_says_so_after_what_it_had() -> None:
    def make() -> object:
        yield GOOD
        raise RuntimeError("3 updates were lost")

    rows = list(attempt("it", settings(), make))  # type: ignore[arg-type]
    assert rows == [GOOD, Note("failed: it: RuntimeError: 3 updates were lost", is_failure=True)]
    assert section(*rows).failed
    assert not section(GOOD, Note("skipped: it")).failed


def test_a_row_is_skipped_when_the_time_of_its_group_is_used_up() -> None:
    rows = list(attempt("it", settings(budget=5, began=-1e9), lambda: [GOOD]))
    assert rows == [Note("skipped: it, because the 5 s of its group are used up")]
    assert list(attempt("it", settings(budget=5), lambda: [GOOD])) == [GOOD]
