"""Where it bends, as pictures (SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.scaling import programs, tables, timing
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.simulation import simulate
from benchmarks.scaling.timing import Machine

__all__ = ["draw"]

# Colours of Okabe and Ito, which people tell apart whatever colours they see.
_BLUE, _ORANGE, _GREEN, _PINK, _BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "pydsm",
    "svg.fonttype": "none",
}


def draw(folder: Path, machine: Machine) -> None:
    """Draw all figures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        for name, make in {"rates": _rates, "barrier": _barrier, "saturation": _saturation}.items():
            picture, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
            make(axes, machine)
            axes.legend(fontsize=9)
            picture.savefig(folder / f"scaling-{name}.svg", metadata={"Date": None, "Creator": None})
            plt.close(picture)


def _lines(axes: Axes, x: Sequence[float], *lines: tuple[str, Sequence[float], str, str]) -> None:
    for label, y, colour, style in lines:
        axes.plot(x[: len(y)], y, style, color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")


def _rates(axes: Axes, machine: Machine) -> None:
    array, small = tables.EXAMPLE, Array(4096, 8)
    jobs = tables.jobs(array)
    regions = [timing.random_regions(job, machine, array).rate() for job in jobs]
    seen = [simulate(job, machine, programs.uniform(job, 10)).rate("region") for job in jobs]
    zipf = [simulate(job, machine, programs.zipf(job, 10)).rate("region") for job in jobs]
    hot = [simulate(job, machine, programs.hot(job, 3)).rate("region") for job in jobs]
    atomic = [simulate(job, machine, programs.atomics(job, 1)).rate("atomic") for job in tables.jobs(small)[:-2]]
    _lines(
        axes,
        tables.RANKS,
        ("locked updates, random rows: bound", regions, _BLACK, "--"),
        ("locked updates, random rows", seen, _BLUE, "o-"),
        ("rows by Zipf's law", zipf, _GREEN, "^-"),
        ("fetch_add, random elements", atomic, _ORANGE, "s-"),
        ("one row", hot, _PINK, "D-"),
    )
    axes.set_xlabel("ranks, 16 on a node")
    axes.set_ylabel("operations a second, all workers")


def _barrier(axes: Axes, machine: Machine) -> None:
    def total(array: Array) -> list[float]:
        parts = [timing.barrier_seconds(job, machine) for job in tables.jobs(array)]
        return [part["messages"] + part["versions"] for part in parts]

    seen = [simulate(job, machine, programs.barriers(job, 1)).mean("barrier") for job in tables.jobs(Array(512, 8))]
    tree = [timing.barrier_seconds(job, machine, tree=True)["messages"] for job in tables.jobs(tables.EXAMPLE)]
    _lines(
        axes,
        tables.RANKS,
        ("8 GB array: versions", total(tables.LARGE), _ORANGE, "s-"),
        ("8 MB array: messages", total(tables.EXAMPLE), _BLUE, "o-"),
        ("the same, simulated", seen, _GREEN, "^-"),
        ("if messages went up and down a tree", tree, _BLACK, "--"),
    )
    axes.set_xlabel("ranks, 16 on a node")
    axes.set_ylabel("seconds of a barrier, nothing written")


def _saturation(axes: Axes, machine: Machine) -> None:
    nodes, workers = 16, [1, 2, 3, 4, 6, 8, 12, 16]
    jobs = [Job((count,) * nodes, (tables.EXAMPLE,)) for count in workers]
    bound = [timing.random_regions(job, machine, tables.EXAMPLE).rate() for job in jobs]
    seen = [simulate(job, machine, programs.uniform(job, 20)).rate("region") for job in jobs]
    busy = [simulate(job, machine, programs.uniform(job, 20, 5e-4)).rate("region") for job in jobs]
    pause = [timing.random_regions(job, machine, tables.EXAMPLE).rate(5e-4) for job in jobs]
    _lines(
        axes,
        workers,
        ("nothing but updates: bound", bound, _BLACK, "--"),
        ("simulated", seen, _BLUE, "o-"),
        ("0.5 ms of work before each: bound", pause, _BLACK, ":"),
        ("simulated", busy, _GREEN, "^-"),
    )
    axes.set_xlabel("workers a node, 16 nodes")
    axes.set_ylabel("locked updates a second")
