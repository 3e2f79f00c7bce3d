"""Measurements as a table on the terminal and as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.attempts import Note, Record, Row
from benchmarks.figure import Figure
from benchmarks.measure import Comparison, Cost, Spread, Table, spread
from benchmarks.misses import Explanation, needed, unexplained
from benchmarks.section import Section
from benchmarks.units import show_spread, three_digits

__all__ = ["short", "to_markdown", "to_terminal"]

_COLUMNS = ("what", "beside", "pydsm", "peer", "pydsm / peer", "target", "reached")
_MUCH = 0.25
"""Cpus that others may keep busy before a section is not to be believed."""
_INTRODUCTION = """\
# Benchmarks

Each line is pydsm beside one peer that does the same, run in turns (A B A B ...) in one tree of processes. The
numbers are medians with the quartiles behind them; *pydsm / peer* is the median of the ratios of neighbours in time,
which is the number to read: absolute ones are those of one machine at one moment. Times are better small, rates
(operations in a second, all workers together) better large. *Reached* compares the median ratio with the target, "just"
where one of its quartiles says otherwise. Peers get their best form: plain ndarrays, bound methods, lock files in
memory, locks made once, pools kept. After every run with a lock the sum of the array shows that no update was lost.
Below each section stands how many cpus other programs kept busy meanwhile: where that is much of one, numbers of
several workers are worth little.

Run it yourself with `make bench`, or with `python -m benchmarks` from the root of the repository after
`pip install -e '.[bench]'`. `--quick` takes a look in a minute or two, `--only locks barriers` some of it, `--output
FOLDER` writes this page, its plots and [results.json](results.json) with every sample, and `--help` says the rest. A
peer that is not installed is left out.
"""


def short(row: Row) -> str:
    """Return one line of progress."""
    if isinstance(row, Note):
        return row.text
    if isinstance(row, Table):
        return f"table: {row.what}"
    if isinstance(row, Figure):
        return f"plot: {row.title}"
    if isinstance(row, Record):
        return f"kept in {row.name}.json"
    what, beside, _, _, ratio, target, reached = _cells(row)
    verdict = f", target {target}: {reached}" if target else ""
    return f"{what} | {beside}: {ratio}{verdict}"


def to_terminal(sections: Sequence[Section], facts: Mapping[str, str], console: Console) -> None:
    """Print all tables."""
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", highlight=False, markup=False)
    for section in sections:
        for title, columns, lines in _grids(section):
            table = RichTable(*columns, title=Text(title), title_justify="left")
            for line in lines:
                table.add_row(*map(Text, line))  # as text: [i] is no markup
            console.print(table)
        for note in section.notes:
            console.print(f"{section.title}: {note.text}", style="yellow", markup=False)
        console.print(_others(section), highlight=False)
    console.print(_verdict_of_all(sections), highlight=False, markup=False)


def to_markdown(
    sections: Sequence[Section],
    facts: Mapping[str, str],
    texts: Sequence[Explanation],
    pictures: Mapping[str, str],
    introduction: str = _INTRODUCTION,
) -> str:
    """Return a page; `pictures` are the files of the plots by the names of their figures."""
    parts = [introduction, f"{_verdict_of_all(sections)}\n", *_doubts(sections)]
    parts += _picture("targets", "All targets", pictures)
    parts.append("\n".join(f"- {name}: {fact}" for name, fact in facts.items()) + "\n")
    for section in sections:
        parts.append(f"## {section.title}\n")
        for figure in section.figures:
            parts += _picture(figure.name, figure.title, pictures)
        for title, columns, lines in _grids(section):
            if title != section.title:
                parts.append(f"{title}.\n")
            parts.append(_markdown_table(columns, lines))
        parts += [f"{note.text[0].upper()}{note.text[1:]}.\n" for note in section.notes]
        parts.append(f"{_others(section)}\n")
    parts += _explanations(sections, texts)
    return "\n".join(parts)


def _picture(name: str, title: str, pictures: Mapping[str, str]) -> list[str]:
    return [f"![{title}]({pictures[name]})\n"] if name in pictures else []


def _explanations(sections: Sequence[Section], texts: Sequence[Explanation]) -> Iterator[str]:
    """Yield a last section with the reasons, if a target is missed at all."""
    reasons = list(needed(sections, texts))
    rest = unexplained(sections, texts)
    if reasons or rest:
        yield "## Where a target is missed, and why\n"
        yield from (f"- {rows}: {why}\n" for rows, why in reasons)
    if rest:
        yield f"Missed without an explanation so far: {'; '.join(rest)}.\n"


def _verdict_of_all(sections: Sequence[Section]) -> str:
    rows = [row for section in sections for row in section.comparisons if row.target is not None]
    reached = sum(row.reached is True for row in rows)
    return f"{reached} of {len(rows)} targets are reached, {len(rows) - reached} missed."


def _doubts(sections: Sequence[Section]) -> Iterator[str]:
    """Yield a warning, if others kept the machine busy."""
    busy = [section.title for section in sections if section.others > _MUCH]
    if busy:
        yield (
            f"**Others kept more than {_MUCH:g} of a cpu busy** while these were measured, so do not believe their "
            f"numbers: {'; '.join(busy)}.\n"
        )


def _others(section: Section) -> str:
    return f"Measured in {section.took:.0f} s; others kept {section.others:.2f} cpus busy meanwhile."


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
        show_spread(ours, row.cost),
        show_spread(theirs, row.cost),
        "{} ({} - {})".format(*map(_two_digits, (ratio.median, ratio.low, ratio.high))),
        "" if row.target is None else str(row.target),
        _verdict(row),
    ]


def _two_digits(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else three_digits(ratio)


def _verdict(row: Comparison) -> str:
    if row.reached is None:
        return ""
    return ("" if row.is_clear else "just ") + ("yes" if row.reached else "missed")


def _cell(each: str | Spread, cost: Cost | None) -> str:
    return each if isinstance(each, str) else show_spread(each, cost or "time")


def _markdown_table(columns: Sequence[str], lines: list[list[str]]) -> str:
    grid = [list(columns), ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in grid) + "\n"
