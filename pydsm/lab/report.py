"""What `pydsm lab` prints: lists, the matrix, and the outcomes of one test, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydsm.lab.catalogue import load
from pydsm.lab.histogram import Histogram
from pydsm.lab.models import MODELS
from pydsm.lab.program import Outcome, Test

__all__ = ["list_models", "list_tests", "show_matrix", "show_outcomes", "show_test"]

_WIDTH = 80


def list_tests(names: Iterable[str]) -> str:
    """Return the names of tests with their sentences."""
    lines: list[str] = []
    for name in names:
        lines += [name, *textwrap.wrap(load(name).doc, _WIDTH, initial_indent="    ", subsequent_indent="    ")]
    return "\n".join(lines)


def list_models(names: Iterable[str]) -> str:
    """Return the names of models, what they mean and where they come from."""
    lines: list[str] = []
    for name in names:
        text = f"{name:8}{MODELS[name].title}: {MODELS[name].source}"
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 8)
    return "\n".join(lines)


def show_matrix(matrix: Mapping[str, Mapping[str, bool]]) -> str:
    """Return a table with A where a model allows what a test asks about, and - where it forbids it."""
    models = list(next(iter(matrix.values()), {}))
    width = max(map(len, matrix), default=0)
    lines = [f"{'':{width}}  {'  '.join(models)}"]
    for name, row in matrix.items():
        cells = (("A" if row[model] else "-").ljust(len(model)) for model in models)
        lines.append(f"{name:{width}}  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def show_test(test: Test) -> str:
    """Return a test as it is written, without the header."""
    table = test.source[test.source.index("{") :].rstrip()
    return "\n".join([f"{test.name}: {test.doc}", "", *(f"    {line}" for line in table.splitlines())])


def show_outcomes(test: Test, allowed: Mapping[str, frozenset[Outcome]], seen: Histogram | None) -> str:
    """Return all outcomes, how often each was observed, and by which models it is allowed."""
    found = sorted(set().union(*allowed.values(), seen.counts if seen else ()))
    width = max((len(str(outcome)) for outcome in found), default=0)
    lines = [f"{'observed':>9}    {'outcome':{width}}  allowed by"]
    for outcome in found:
        count = str(seen.counts.get(outcome, 0)) if seen else ""
        mark = "*>" if test.asked(outcome) else "  "
        by = _names([model for model, outcomes in allowed.items() if outcome in outcomes], list(allowed))
        lines += _columns(f"{count:>9} {mark} {outcome!s:{width}}  ", by)
    return "\n".join(lines)


def _columns(before: str, text: str) -> Iterator[str]:
    """Yield lines with a text in the last column."""
    parts = textwrap.wrap(text, max(12, _WIDTH - len(before)))
    yield before + parts[0]
    for part in parts[1:]:
        yield " " * len(before) + part


def _names(some: Sequence[str], every: Sequence[str]) -> str:
    """Return names in the shorter way: those that are in, or those that are out."""
    missing = [name for name in every if name not in some]
    if not some:
        return "none"
    if not missing:
        return "all" if len(every) > 1 else some[0]
    return " ".join(some) if len(some) <= len(missing) else f"all but {' '.join(missing)}"
