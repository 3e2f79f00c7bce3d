"""What a plot shows, as data: groups make it, `benchmarks.plots` draws it, results.json keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.measure import Cost, Spread, Table, spread

__all__ = ["Figure", "Role", "Series", "table_of"]

Role = Literal["pydsm", "peer", "limit"]
"""How a series is drawn: in front, as one of several, or dashed as what nobody can pass."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot.

    Attributes
    ----------
    x : sequence of float
        Positions; in a plot of rows, the numbers of the rows.
    """

    name: str
    x: Sequence[float]
    y: Sequence[Spread]
    role: Role = "peer"

    @staticmethod
    def of(name: str, samples: Iterable[tuple[float, Sequence[float]]], role: Role = "peer") -> Series:
        """Make a series of the samples at each position."""
        points = list(samples)
        return Series(name, [x for x, _ in points], [spread(each) for _, each in points], role)


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot.

    Attributes
    ----------
    name : str
        The file is called so.
    title : str
        Says what is to be seen.
    cost : str
        What y counts, which decides its unit.
    kind : {"lines", "rows"}
        Lines over a number, or one row of dots for each of `rows`, with y from left to right.
    is_log : bool
        Whether x is drawn logarithmically; y always is, unless it is a share.
    limit : tuple, optional
        A target: what it is called, and its y.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    cost: Cost
    series: Sequence[Series]
    kind: Literal["lines", "rows"] = "lines"
    rows: Sequence[str] = ()
    is_log: bool = True
    limit: tuple[str, float] | None = None


def table_of(figure: Figure, what: str, x_names: Sequence[str] = ()) -> Table:
    """Return the same numbers as a table, a line for each position; a gap is a dash."""
    positions = sorted({x for each in figure.series for x in each.x})
    names = dict(zip(positions, figure.rows or x_names or [f"{x:g}" for x in positions], strict=True))
    cells = [dict(zip(each.x, each.y, strict=True)) for each in figure.series]
    return Table(
        what,
        [(figure.x_label, None), *[(each.name, figure.cost) for each in figure.series]],
        [[names[x], *[column.get(x, "-") for column in cells]] for x in positions],
    )
