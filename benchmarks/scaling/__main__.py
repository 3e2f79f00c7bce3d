"""``python -m benchmarks.scaling``: what thousands of ranks would send, and how long that would take.

Nothing is measured: formulas and a simulation, checked against messages counted in small runs (``--count``).
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scaling import counted
from benchmarks.scaling.tables import SIMULATED, TABLES, table
from benchmarks.scaling.timing import Machine

__all__ = ["main", "written"]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if options.count:
        return _count(options.count)
    machine = Machine(**{name: value for name in _names() if (value := getattr(options, name)) is not None})
    names = options.only or [name for name in TABLES if not (options.quick and name in SIMULATED)]
    if options.write:
        page = Path(options.write)
        page.write_text(written(page.read_text(encoding="utf-8"), machine, names), encoding="utf-8")
    else:
        for name in names:
            print(f"{name}: {TABLES[name].__doc__}\n\n{TABLES[name](machine)}\n", flush=True)
    return _plot(options.plot, machine) if options.plot else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TABLE", choices=TABLES, help=f"some of: {', '.join(TABLES)}")
    parser.add_argument("--quick", action="store_true", help="formulas only, no simulation")
    parser.add_argument("--plot", metavar="FOLDER", help="draw figures there, as SVG; needs matplotlib")
    parser.add_argument("--write", metavar="PAGE", help="bring the tables of a page up to date, as docs/scaling.md")
    parser.add_argument(
        "--count",
        metavar="NODES",
        help='count a job over MPI, as "0,1,2|3,4,5" (ranks that pretend to be on nodes), beside the model',
    )
    defaults = Machine()
    for name in _names():
        value = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=float, metavar="SECONDS", help=f"see Machine; {value:g} unless given")
    return parser.parse_args(arguments)


def _names() -> list[str]:
    return [field.name for field in dataclasses.fields(Machine)]


def written(page: str, machine: Machine, names: Sequence[str]) -> str:
    """Return a page with its tables made anew: what stands after ``<!-- NAME -->``, up to an empty line."""
    for name in names:
        mark = f"<!-- {name} -->\n"
        if mark in page:
            made = f"{mark}\n{TABLES[name](machine)}\n\n"
            page = re.sub(re.escape(mark) + r"\n*(?:\|[^\n]*\n)*\n*", lambda _, made=made: made, page)
    return page


def _count(nodes: str) -> int:
    """Count a small job and print what was counted beside what the model says."""
    found = counted.count(nodes)
    rows = []
    for name, cost in counted.expected(counted.job_of(found.counts)).items():
        seen = found.found[name]
        messages = ", ".join(f"{count:g} {kind}" for kind, count in seen["messages"].items())
        size = f"{sum(seen['bytes'].values()):,.0f}"
        rows.append((name, seen["rounds"], cost.rounds, messages, cost.all_messages, size, f"{cost.all_bytes:,}"))
    print(table(["operation", "round trips", "model", "messages", "model", "bytes", "model"], rows))
    problems = counted.problems(found)
    print("\n".join(["", *problems]) if problems else "\nthe model is right in all of them")
    return 1 if problems else 0


def _plot(folder: str, machine: Machine) -> int:
    try:
        from benchmarks.scaling import figures
    except ModuleNotFoundError as error:
        print(f"no figures: {error.name} is not installed (pip install '.[bench]')", file=sys.stderr)
        return 1
    figures.draw(Path(folder), machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
