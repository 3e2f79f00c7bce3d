"""Measurements as a table on the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.measure import Comparison, Cost, Spread, Table, spread

__all__ = ["Section", "short", "to_json", "to_markdown", "to_terminal"]

_COLUMNS = ("what", "beside", "pydsm", "peer", "pydsm / peer", "target", "reached")
_INTRODUCTION = """\
# Benchmarks

Each line is pydsm beside one peer that does the same, run in turns (A B A B ...) in one tree of processes. The
numbers are medians with the quartiles behind them; *pydsm / peer* is the median of the ratios of neighbours in time,
which is the number to read: absolute ones are those of one machine at one moment. Times are better small, rates
(updates in a second, all workers together) better large. *Reached* compares the median ratio with the target, "just"
where one of its quartiles says otherwise. Peers get their best form: plain ndarrays, bound methods, lock files in
memory, locks made once. After every run with a lock the sum of the array shows that no update was lost. Below each
section stands how many cpus other programs kept busy meanwhile: where that is much of one, numbers of several workers
are worth little. Run it yourself with `python -m benchmarks` from the root of the repository, after
`pip install -e '.[bench]'`; `--quick` takes a look in less than a minute, `--only locks barriers`
some of it, and `--help` says the rest.
"""


@dataclass(slots=True)
class Section:
    """The lines of one module, why some are missing, and how many cpus others kept busy meanwhile."""

    title: str
    comparisons: list[Comparison] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    others: float = 0.0


def short(row: Comparison | Table) -> str:
    """Return one line of progress."""
    if isinstance(row, Table):
        return row.what
    what, beside, _, _, ratio, target, reached = _cells(row)
    verdict = f", target {target}: {reached}" if target else ""
    return f"{what} | {beside}: {ratio}{verdict}"


def to_terminal(sections: Sequence[Section], facts: Mapping[str, str], console: Console) -> None:
    """Print all tables."""
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", highlight=False, markup=False)
    for section in sections:
        for title, columns, lines in _grids(section):
            table = RichTable(*columns, title=title, title_justify="left")
            for line in lines:
                table.add_row(*map(Text, line))  # as text: [i] is no markup
            console.print(table)
        for problem in section.skipped + section.failed:
            console.print(f"{section.title}: {problem}", style="yellow", markup=False)
        console.print(_others(section), highlight=False)


def to_markdown(sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """Return a page."""
    parts = [_INTRODUCTION, "\n".join(f"- {name}: {fact}" for name, fact in facts.items()) + "\n"]
    for section in sections:
        parts.append(f"## {section.title}\n")
        for title, columns, lines in _grids(section):
            if title != section.title:
                parts.append(f"{title}.\n")
            parts.append(_markdown_table(columns, lines))
        parts += [f"{problem}\n" for problem in section.skipped + section.failed]
        parts.append(f"{_others(section)}\n")
    return "\n".join(parts)


def to_json(sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """Return everything, every sample included."""
    return json.dumps({"facts": facts, "sections": [_plain(section) for section in sections]}, indent=1)


def _plain(section: Section) -> dict[str, Any]:
    plain = dataclasses.asdict(section)
    for entry, row in zip(plain["comparisons"], section.comparisons, strict=True):
        entry["ratio"] = dataclasses.asdict(row.ratio)
        entry["reached"] = row.reached
    return plain


def _others(section: Section) -> str:
    return f"Others kept {section.others:.2f} cpus busy meanwhile."


def _grids(section: Section) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Yield title, columns and lines of each table."""
    if section.comparisons:
        yield section.title, _COLUMNS, [_cells(row) for row in section.comparisons]
    for table in section.tables:
        kinds = [cost for _, cost in table.columns]
        lines = [[_cell(each, cost) for each, cost in zip(line, kinds, strict=True)] for line in table.lines]
        yield table.what, [name for name, _ in table.columns], lines


def _cells(row: Comparison) -> list[str]:
    ours, theirs, ratio = spread(row.ours), spread(row.theirs), row.ratio
    return [
        row.what,
        row.beside,
        _spread(ours, row.cost),
        _spread(theirs, row.cost),
        f"{ratio.median:.2f} ({ratio.low:.2f} - {ratio.high:.2f})",
        "" if row.target is None else str(row.target),
        _verdict(row),
    ]


def _verdict(row: Comparison) -> str:
    if row.reached is None:
        return ""
    return ("" if row.is_clear else "just ") + ("yes" if row.reached else "no")


def _cell(each: str | Spread, cost: Cost | None) -> str:
    if isinstance(each, str):
        return each
    return _spread(each, cost or "time")


def _spread(values: Spread, cost: Cost) -> str:
    """Return the median and the quartiles in the unit that suits the median."""
    units = ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")) if cost == "time" else ((1e-6, "M/s"), (1e-3, "k/s"))
    factor, unit = next((each for each in units if values.median * each[0] >= 1), units[-1])
    low, median, high = (_three_digits(factor * value) for value in (values.low, values.median, values.high))
    return f"{median} {unit} ({low} - {high})"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _markdown_table(columns: Sequence[str], lines: list[list[str]]) -> str:
    grid = [list(columns), ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in grid) + "\n"
