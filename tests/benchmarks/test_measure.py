"""Numbers of the benchmarks, with made-up samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.draws import zipf
from benchmarks.figure import Figure, Series, table_of
from benchmarks.measure import Comparison, Spread, Target, interleave, spread
from benchmarks.units import show, show_spread


def test_the_ratio_is_that_of_neighbours_and_not_of_medians() -> None:
    # The machine was slow in the second half: pairs know that, medians of columns do not.
    row = Comparison("what", "peer", "time", [1, 1, 8, 8, 8], [2, 2, 16, 16, 2], Target(0.6))
    assert row.ratio.median == 0.5
    assert row.reached
    assert not row.is_clear or row.ratio.high <= 0.6


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert spread([5, 1, 2, 4, 3]) == Spread(2, 3, 4)
    assert spread([7]) == Spread(7, 7, 7)


@pytest.mark.parametrize(
    ("target", "ratio", "reached"),
    [
        (Target(0.5), 0.5, True),
        (Target(0.5), 0.51, False),
        (Target(3, at_least=True), 3, True),
        (Target(3, at_least=True), 2.9, False),
    ],
)
def test_a_target_is_a_limit_from_above_or_from_below(target: Target, ratio: float, reached: bool) -> None:
    assert target.reached(ratio) is reached


def test_runs_take_turns_and_every_second_round_goes_backwards() -> None:
    calls: list[str] = []
    clock = itertools.count(1)

    def run_of(name: str) -> object:
        def run(count: int) -> float:
            calls.append(name)
            return float(next(clock))

        return run

    samples = interleave({"a": run_of("a"), "b": run_of("b")}, rounds=3, seconds=0)  # type: ignore[dict-item]
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]  # once each to see how long it takes, then in turns
    assert {name: len(each) for name, each in samples.items()} == {"a": 3, "b": 3}


def test_samples_are_seconds_for_one_repetition() -> None:
    samples = interleave({"a": lambda count: count * 0.25}, rounds=2, seconds=10)
    assert samples == {"a": [0.25, 0.25]}


@pytest.mark.parametrize(
    ("value", "cost", "text"),
    [
        (1.5e-7, "time", "150 ns"),
        (0.02, "time", "20.0 ms"),
        (2.5e6, "rate", "2.50 M/s"),
        (120, "rate", "120 /s"),
        (8, "bytes", "8 B"),
        (3 << 20, "bytes", "3.00 MiB"),
        (12345.6, "count", "12,346"),
        (0.125, "share", "12.5 %"),
        (0, "share", "0 %"),
    ],
)
def test_numbers_are_shown_in_the_unit_that_suits_them(value: float, cost: str, text: str) -> None:
    assert show(value, cost) == text  # type: ignore[arg-type]


def test_a_spread_is_shown_with_its_quartiles_unless_there_is_one_value_only() -> None:
    assert show_spread(Spread(1e-6, 2e-6, 3e-6), "time") == "2.00 us (1.00 - 3.00)"
    assert show_spread(Spread(5, 5, 5), "ratio") == "5.00 x"


def test_a_table_of_a_figure_has_a_line_for_each_position_and_a_dash_where_nothing_is() -> None:
    full = Series.of("full", [(1, [3.0]), (10, [4.0])], "pydsm")
    part = Series.of("part", [(10, [5.0])])
    table = table_of(Figure("name", "title", "n", "time", "time", [full, part]), "what")
    assert [name for name, _ in table.columns] == ["n", "full", "part"]
    assert table.lines == [["1", spread([3.0]), "-"], ["10", spread([4.0]), spread([5.0])]]


def test_rows_without_an_exponent_are_drawn_alike() -> None:
    counts = np.bincount(zipf(1, 50, 50_000, 0), minlength=50)
    assert 700 < counts.min() < counts.max() < 1300


def test_rows_with_an_exponent_have_the_shares_of_zipf_and_the_same_favourite_for_all() -> None:
    rows, exponent = 1000, 1.2
    shares = np.arange(1, rows + 1) ** -exponent
    shares /= shares.sum()
    first, second = (np.bincount(zipf(seed, rows, 40_000, exponent), minlength=rows) / 40_000 for seed in (1, 2))
    assert first.argmax() == second.argmax()
    np.testing.assert_allclose(np.sort(first)[::-1][:5], shares[:5], rtol=0.1)
    assert abs(int(np.argsort(first)[-1]) - int(np.argsort(first)[-2])) > 8  # not in one cache line
