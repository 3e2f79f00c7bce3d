"""All that was measured as JSON, every sample included, and back again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.attempts import Note, Record
from benchmarks.figure import Figure, Series
from benchmarks.measure import Comparison, Spread, Table, Target
from benchmarks.section import Section

__all__ = ["from_json", "to_json"]


def to_json(sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """Return everything, with ratios and verdicts for readers that are not this program."""
    plain = {"facts": dict(facts), "sections": [_plain(section) for section in sections]}
    return (
        json.dumps(_rounded(plain), separators=(",", ":"))
        .replace('{"title"', '\n{"title"')
        .replace('{"what"', '\n{"what"')
        + "\n"
    )


def from_json(text: str) -> tuple[list[Section], dict[str, str]]:
    """Return the sections and the facts that `to_json` has written."""
    plain = json.loads(text)
    return [_section(each) for each in plain["sections"]], plain["facts"]


def _plain(section: Section) -> dict[str, Any]:
    plain = dataclasses.asdict(section)
    for entry, row in zip(plain["comparisons"], section.comparisons, strict=True):
        entry["ratio"] = dataclasses.asdict(row.ratio)
        entry["reached"] = row.reached
    return plain


def _rounded(plain: Any) -> Any:
    """Return the same with six digits a number, which is more than any clock has here."""
    if isinstance(plain, float):
        return float(f"{plain:.6g}")
    if isinstance(plain, dict):
        return {key: _rounded(each) for key, each in plain.items()}
    if isinstance(plain, list | tuple):
        return [_rounded(each) for each in plain]
    return plain


def _section(plain: dict[str, Any]) -> Section:
    return Section(
        plain["title"],
        [_comparison(each) for each in plain["comparisons"]],
        [_table(each) for each in plain["tables"]],
        [_figure(each) for each in plain["figures"]],
        [Record(**each) for each in plain["records"]],
        [Note(**each) for each in plain["notes"]],
        plain["others"],
        plain["took"],
    )


def _comparison(plain: dict[str, Any]) -> Comparison:
    target = None if plain["target"] is None else Target(**plain["target"])
    return Comparison(plain["what"], plain["beside"], plain["cost"], plain["ours"], plain["theirs"], target)


def _table(plain: dict[str, Any]) -> Table:
    lines = [[each if isinstance(each, str) else Spread(**each) for each in line] for line in plain["lines"]]
    return Table(plain["what"], [(name, cost) for name, cost in plain["columns"]], lines)


def _figure(plain: dict[str, Any]) -> Figure:
    series = [Series(**{**each, "y": [Spread(**y) for y in each["y"]]}) for each in plain["series"]]
    limit = None if plain["limit"] is None else (plain["limit"][0], plain["limit"][1])
    return Figure(**{**plain, "series": series, "limit": limit})
