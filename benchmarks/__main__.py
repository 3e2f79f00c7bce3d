"""``python -m benchmarks``: measure pydsm beside its peers."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import misses, oldpython
from benchmarks.attempts import Note, problem_of
from benchmarks.facts import facts
from benchmarks.neighbours import Neighbours
from benchmarks.report import short, to_markdown, to_terminal
from benchmarks.results import from_json, to_json
from benchmarks.section import Section
from benchmarks.settings import Settings

GROUPS = {
    "locks": 15,
    "bulk": 40,
    "atomics": 60,
    "accumulate": 120,
    "contention": 80,
    "skew": 60,
    "stripes": 70,
    "schedules": 100,
    "fairness": 100,
    "barriers": 40,
    "runs": 15,
    "segments": 150,
    "ndarray": 25,
    "originals": 120,
    "scaling": 60,
    "applications": 300,
    "growth": 90,
    "races": 20,
    "footprint": 60,
    "instructions": 60,
    "ranks": 300,
    "rankscaling": 120,
}
"""The modules, and how many seconds each may take on two cpus before it has to leave rows out."""
LIMIT = 20 * 60
"""Seconds that all of them may take together."""

_NEEDS_OLD = ("originals", "applications")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if options.render:
        write(options.render, *from_json((Path(options.render) / "results.json").read_text(encoding="utf-8")))
        return 0
    progress = Console(stderr=True)
    groups = options.only or tuple(GROUPS)
    old_python, why_not = _old_python(options) if {*_NEEDS_OLD} & {*groups} else (None, "")
    found = {"how": "--quick: a look, not a measurement"} if options.quick else {}
    found |= facts(old_python)
    sections, began = [], time.monotonic()
    for number, name in enumerate(groups, 1):
        say = partial(_say, progress, f"[{number}/{len(groups)}] {name}", time.monotonic())
        budget = min(GROUPS[name], LIMIT - (time.monotonic() - began))
        sections.append(_measure(name, Settings(options.quick, old_python, say, budget)))
        if name in _NEEDS_OLD and why_not:
            sections[-1].add(Note(why_not))
    to_terminal(sections, found, Console(width=None if sys.stdout.isatty() else 180))
    if options.output:
        write(options.output, sections, found)
    return 1 if any(section.failed for section in sections) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: a look, not a measurement")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=GROUPS, help=f"some of: {', '.join(GROUPS)}")
    parser.add_argument("--output", metavar="FOLDER", help="write README.md, results.json and the plots there")
    parser.add_argument("--render", metavar="FOLDER", help="measure nothing: write the page of its results.json anew")
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
        section.title = module.TITLE
        for row in module.rows(settings):
            section.add(row)
            settings.say(short(row))
            if settings.is_far_over:
                section.add(Note(f"skipped: the rest, because the {settings.budget:.0f} s of the group are used up"))
                break
    except Exception as error:  # a group that breaks does not take the others with it
        section.add(problem_of(error))
        settings.say(section.notes[-1].text)
    section.others, section.took = neighbours.cpus(), time.monotonic() - began
    settings.say(f"{section.took:.0f} s, others kept {section.others:.2f} cpus busy")
    return section


def _old_python(options: argparse.Namespace) -> tuple[str | None, str]:
    """Return the interpreter with py-dsm 1.1.1, or None and why there is none."""
    try:
        return oldpython.find(options.old, build=not options.no_old), ""
    except oldpython.NoOldPythonError as error:
        return None, f"skipped: {error}"


def _say(console: Console, where: str, began: float, what: str) -> None:
    console.print(f"{where}, {time.monotonic() - began:.0f} s: {what}", highlight=False, markup=False, soft_wrap=True)


def write(folder: str, sections: Sequence[Section], found: Mapping[str, str]) -> None:
    """Write the page, the numbers, and the plots if there is what draws them."""
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    text = to_json(sections, found)
    (where / "results.json").write_text(text, encoding="utf-8")
    sections, found = from_json(text)  # rounded, so that the page is the one that --render makes of them
    for record in (record for section in sections for record in section.records):
        (where / f"{record.name}.json").write_text(json.dumps(record.values, indent=1) + "\n", encoding="utf-8")
    try:
        from benchmarks import plots
    except ModuleNotFoundError as error:
        print(f"no plots: {error.name} is not installed", file=sys.stderr)
        pictures = {}
    else:
        pictures = plots.draw(sections, where)
    page = to_markdown(sections, found, misses.known(), pictures)
    (where / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
