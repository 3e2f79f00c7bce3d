"""``python -m benchmarks``: measure pydsm beside its peers."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from benchmarks import oldpython
from benchmarks.facts import facts
from benchmarks.measure import Table
from benchmarks.neighbours import Neighbours
from benchmarks.report import Section, short, to_json, to_markdown, to_terminal
from benchmarks.settings import Settings

GROUPS = ("locks", "contention", "barriers", "runs", "segments", "ndarray", "originals", "stripes", "schedules")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    progress = Console(stderr=True)
    groups = options.only or GROUPS
    old_python, why_not = _old_python(options) if "originals" in groups else (None, "")
    found = facts(old_python)
    sections = []
    for number, name in enumerate(groups, 1):
        say = partial(_say, progress, f"[{number}/{len(groups)}] {name}")
        sections.append(_measure(name, Settings(options.quick, old_python, say)))
        if name == "originals" and why_not:
            sections[-1].skipped.append(why_not)
    to_terminal(sections, found, Console(width=None if sys.stdout.isatty() else 180))
    for path, render in ((options.json, to_json), (options.markdown, to_markdown)):
        if path is not None:
            _write(path, render(sections, found))
    return 1 if any(section.failed for section in sections) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: a look, not a measurement")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=GROUPS, help=f"some of: {', '.join(GROUPS)}")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there")
    parser.add_argument("--old", metavar="PYTHON", help="an interpreter that has py-dsm 1.1.1; else a venv is made")
    parser.add_argument("--no-old", action="store_true", help="skip what needs py-dsm 1.1.1")
    return parser.parse_args(arguments)


def _measure(name: str, settings: Settings) -> Section:
    """Return what a module measures; a missing package or a lost update is said, and the rest goes on."""
    began, neighbours = time.monotonic(), Neighbours()
    settings.say("...")
    section = Section(name)
    try:
        module = importlib.import_module(f"benchmarks.{name}")
        section = Section(module.TITLE)
        for row in module.rows(settings):
            (section.tables if isinstance(row, Table) else section.comparisons).append(row)
            settings.say(short(row))
    except ModuleNotFoundError as error:
        section.failed.append(f"{error}; pip install -e '.[bench]' has what it needs")
    except (RuntimeError, OSError, MemoryError, subprocess.SubprocessError) as error:
        section.failed.append(f"failed: {error}")
    for problem in section.failed:
        settings.say(problem)
    section.others = neighbours.cpus()
    settings.say(f"{time.monotonic() - began:.0f} s, others kept {section.others:.2f} cpus busy")
    return section


def _old_python(options: argparse.Namespace) -> tuple[str | None, str]:
    """Return the interpreter with py-dsm 1.1.1, or None and why there is none."""
    try:
        return oldpython.find(options.old, build=not options.no_old), ""
    except oldpython.NoOldPythonError as error:
        return None, str(error)


def _say(console: Console, where: str, what: str) -> None:
    console.print(f"{where}: {what}", highlight=False, markup=False, soft_wrap=True)


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
