"""``pydsm trace``: run a program and keep a timeline of what its workers did."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from pydsm.cli.program import add_program, has_program, run_program
from pydsm.trace import Timeline, check_path, collect

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "trace",
        help="run a program and write a timeline of its workers",
        description="Run a program and write a timeline: what each worker did when, what it waited for, and what "
        "had to happen before what.  A summary is printed when the program has ended, to the standard error.",
        epilog="A .json file is opened at https://ui.perfetto.dev or in chrome://tracing, a .html file in any browser, "
        "without a network.",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="Chrome trace events, a .json file")
    parser.add_argument("--html", metavar="FILE", help="a page for a browser; PROGRAM.html if neither is given")
    parser.add_argument("-n", type=int, dest="workers", metavar="N", help="workers of a team that names no number")
    parser.add_argument("--limit", type=int, metavar="N", help="most events that a worker may record, over all runs")
    add_program(parser)
    parser.set_defaults(command=_trace)


def _trace(options: argparse.Namespace) -> int:
    if not has_program(options):
        return 2
    if options.output is None and options.html is None:
        options.html = f"{Path(options.program).stem}.html"
    paths = [path for path in (options.output, options.html) if path is not None]
    problem = next(filter(None, map(_problem, paths)), "")
    if options.html is not None and not options.html.endswith(".html"):
        problem = f"--html takes a .html file, not {options.html!r}"
    if problem:
        print(f"pydsm: {problem}", file=sys.stderr)
        return 2
    paths = [os.path.abspath(path) for path in paths]  # the program may go elsewhere
    for variable, value in (("PYDSM_WORKERS", options.workers), ("PYDSM_TRACE_LIMIT", options.limit)):
        if value is not None:
            os.environ[variable] = str(value)
    os.environ["PYDSM_TRACE"] = "1"
    found = collect()
    try:
        run_program(options)
    finally:  # of a program that fails one wants to see it above all
        _save(Timeline.joined(found), paths, os.path.basename(options.program))
    return 0


def _problem(path: str) -> str:
    try:
        check_path(path)
    except ValueError as error:
        return str(error)
    folder = os.path.dirname(path) or "."
    return "" if os.path.isdir(folder) else f"there is no folder {folder!r} for {os.path.basename(path)!r}"


def _save(timeline: Timeline, paths: list[str], title: str) -> None:
    if not timeline.runs:
        print("pydsm: the program ran no team, so there is no timeline", file=sys.stderr)
        return
    timeline.title = title
    print(f"\n{timeline.summary()}\n", file=sys.stderr)
    for path in paths:
        timeline.save(path)
        shown = os.path.relpath(path) if not os.path.relpath(path).startswith(os.pardir) else path
        where = "open it in a browser" if path.endswith(".html") else "open it at https://ui.perfetto.dev"
        print(f"{shown} ({os.path.getsize(path) / 1e6:.2g} MB): {where}", file=sys.stderr)
