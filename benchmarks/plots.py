"""Plots of the figures, and one of all targets, as PNG files.

Colours are those of Okabe and Ito, which people tell apart whatever colours they see, and
every series has a marker of its own as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from benchmarks.figure import Figure, Role, Series
from benchmarks.measure import Comparison, Cost
from benchmarks.section import Section
from benchmarks.units import UNITS

__all__ = ["draw", "gain"]

_OURS = (("#0072B2", "o"), ("#003554", "h"))
_PEERS = (
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#8C6D31", "X"),
    ("#666666", "*"),
    ("#000000", "<"),
)
_LIMIT = "#000000"
_COLOURS = 128
_DPI, _DPI_OF_TARGETS = 110, 85  # the latter picture is long
_WIDTH = 8.0
_ROW_HEIGHT = 0.27
_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw(sections: Sequence[Section], folder: Path) -> dict[str, str]:
    """Draw everything into a folder and return the files by the names of their figures."""
    files = {}
    with mpl.rc_context(_STYLE):
        with_targets = [(section, row) for section in sections for row in section.comparisons if row.target]
        if with_targets:
            files["targets"] = _save(_draw_targets(with_targets), folder, "targets")
        for figure in (figure for section in sections for figure in section.figures):
            files[figure.name] = _save(_draw(figure), folder, figure.name)
    return files


def _save(picture: plt.Figure, folder: Path, name: str) -> str:
    # No date and no version inside, so that the same numbers give the same file; few colours, so that it is small.
    drawn = BytesIO()
    picture.savefig(drawn, dpi=_DPI_OF_TARGETS if name == "targets" else _DPI, metadata={"Software": None})
    plt.close(picture)
    few = Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(folder / f"{name}.png", optimize=True)
    return f"{name}.png"


def _draw(figure: Figure) -> plt.Figure:
    height = (3.8 if figure.kind == "lines" else 1.2 + _ROW_HEIGHT * 1.6 * len(figure.rows)) + 0.12 * len(figure.series)
    picture, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    axes.set_title(figure.title, wrap=True)
    before: Counter[Role] = Counter()
    for series in figure.series:
        look = _look(series.role, before[series.role])
        before[series.role] += 1
        (_draw_line if figure.kind == "lines" else _draw_row)(axes, series, look)
    if figure.kind == "lines":
        _scale_lines(axes, figure)
    else:
        _scale_rows(axes, figure)
    entries = axes.get_legend_handles_labels()
    picture.legend(*entries, loc="outside lower left", ncols=2 if max(map(len, entries[1])) > 30 else 3)
    return picture


def _look(role: Role, place: int) -> dict[str, object]:
    """Return how to draw the series of a role, of which so many came before."""
    if role == "pydsm":
        colour, marker = _OURS[place % len(_OURS)]
        return {"color": colour, "marker": marker, "linewidth": 2.4, "markersize": 6, "zorder": 5}
    if role == "limit":
        return {"color": _LIMIT, "marker": "x", "linewidth": 1.2, "markersize": 5, "linestyle": "--"}
    colour, marker = _PEERS[place % len(_PEERS)]
    return {"color": colour, "marker": marker, "linewidth": 1.4, "markersize": 5}


def _draw_line(axes: Axes, series: Series, look: dict[str, object]) -> None:
    axes.plot(series.x, [y.median for y in series.y], label=series.name, **look)
    low, high = [y.low for y in series.y], [y.high for y in series.y]
    axes.fill_between(series.x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _draw_row(axes: Axes, series: Series, look: dict[str, object]) -> None:
    medians = [y.median for y in series.y]
    axes.plot(medians, series.x, label=series.name, **{**look, "linestyle": "none", "markersize": 8})


def _scale_lines(axes: Axes, figure: Figure) -> None:
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    positions = sorted({x for series in figure.series for x in series.x})
    if figure.is_log:
        axes.set_xscale("log")
    if len(positions) <= 9:
        axes.set_xticks(positions, [_short(x) for x in positions])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
    if figure.cost == "share":
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
    _unit_axis(axes.yaxis, figure.cost)
    if figure.limit is not None:
        axes.axhline(figure.limit[1], color=_LIMIT, linewidth=1, linestyle=":", label=figure.limit[0])


def _scale_rows(axes: Axes, figure: Figure) -> None:
    axes.set(xlabel=figure.y_label, ylim=(len(figure.rows) - 0.5, -0.5))
    axes.set_yticks(range(len(figure.rows)), figure.rows)
    if figure.is_log:
        axes.set_xscale("log")
    _unit_axis(axes.xaxis, figure.cost)
    if figure.limit is not None:
        axes.axvline(figure.limit[1], color=_LIMIT, linewidth=1, linestyle=":", label=figure.limit[0])


def _unit_axis(axis: Axis, cost: Cost) -> None:
    """Label an axis with units, at 1, 2 and 5 where it spans little."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        factor = high / low
        parts = range(1, 10) if factor < 5 else (1, 2, 5) if factor < 300 else (1,)
        axis.set_major_locator(LogLocator(subs=tuple(parts), numticks=12))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _label(value, cost)))


def _label(value: float, cost: Cost) -> str:
    units = UNITS[cost]
    factor, unit = next((each for each in units if abs(value) * each[0] >= 0.9999), units[-1])
    return f"{factor * value:g}{unit}" if value else "0"


def _short(x: float) -> str:
    """Return a position as people write it: 1e6 for a million, 16384 as it is."""
    exponent = len(str(int(x))) - 1
    return f"1e{exponent}" if x >= 1000 and x == 10**exponent else f"{x:g}" if x < 1e5 else f"{x:.0f}"


def _draw_targets(rows: Sequence[tuple[Section, Comparison]]) -> plt.Figure:
    """Draw how far each row is from its target: one place for all of them."""
    picture, axes = plt.subplots(figsize=(_WIDTH + 2, 1.2 + _ROW_HEIGHT * len(rows)), layout="constrained")
    missed = 0
    for place, (_, row) in enumerate(rows):
        low, median, high = gain(row)
        is_missed = row.reached is False
        missed += is_missed
        colour, marker = (_PEERS[0][0], "X") if is_missed else _OURS[0]
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([median], [place], color=colour, marker=marker, markersize=7, linestyle="none")
    names = [f"{row.what}  |  {row.beside}  {row.target}" for _, row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xscale="log", xlabel="times better than the target asks (left of 1: missed)")
    axes.axvline(1, color=_LIMIT, linewidth=1)
    axes.grid(visible=False, axis="y")
    _unit_axis(axes.xaxis, "ratio")
    verdict = "All are reached" if not missed else f"{missed} of {len(rows)} are missed (crosses)"
    picture.suptitle(f"pydsm / peer, measured against the targets. {verdict}", fontsize=11, x=0.01, ha="left")
    return picture


def gain(row: Comparison) -> tuple[float, float, float]:
    """Return by which factor the ratio is better than the target, with its quartiles in order."""
    assert row.target is not None
    ratio, limit = row.ratio, row.target.limit
    if row.target.at_least:
        return ratio.low / limit, ratio.median / limit, ratio.high / limit
    return limit / ratio.high, limit / ratio.median, limit / ratio.low
