"""The page of what runs over MPI: ranks.md, made of ranks.json."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import misses
from benchmarks.attempts import problem_of
from benchmarks.facts import facts
from benchmarks.neighbours import Neighbours
from benchmarks.report import short, to_markdown, to_terminal
from benchmarks.results import from_json, to_json
from benchmarks.section import Section
from benchmarks.settings import Settings

__all__ = ["measure", "write"]

_JSON, _PAGE = "ranks.json", "ranks.md"
_INTRODUCTION = """\
# Benchmarks over MPI

Two hosts on one machine: network namespaces with a veth pair between them, so that everything goes over TCP, though
over no wire. On each host pydsm has its server and two workers; beside it run two ranks of plain mpi4py there, in turns
with it (A B A B ...). Numbers are medians with the quartiles behind them; the ratio is the median of the ratios of
neighbours in time. All ranks share the cpus of the machine, six processes of pydsm's and four of its peer's: rates say
what the work of an operation costs, not what a network would.

The peers get their best form. One-sided calls over TCP make progress only while their target is inside MPI, so a rank
that is done tests a barrier and yields; where one rank works alone its targets do so and the others sleep. Windows are
allocated by MPI, epochs of atomic operations stay open, buffers of messages exist. `get` fills memory that exists and
is compared with a request of one byte and an answer, `put` with the bytes and an answer of one byte; the rows of `get`
were written anew by their home each time, and `put` writes new values. After every run the sums show that no update
was lost.

`python -m benchmarks.ranks --output docs/benchmarks` measures the operations and writes this page and
[ranks.json](ranks.json), `--scaling` the applications; `--quick` takes a look. Where namespaces are not permitted,
ranks pretend to be on two hosts, and the page says so.
"""


def measure(name: str, quick: bool, output: str | None, say: Callable[[str], None]) -> int:
    """Measure a group, print it, and put it into the page; return the exit code."""
    module, neighbours = importlib.import_module(f"benchmarks.{name}"), Neighbours()
    found = {"how": "--quick: a look, not a measurement"} if quick else {}
    found |= {name: fact for name, fact in facts(None).items() if fact != "not installed"}
    found["MPI"] = _library()
    settings = Settings(quick, None, say)
    section = Section(module.TITLE)
    try:
        for row in module.rows(settings):
            section.add(row)
            say(short(row))
    except Exception as error:
        section.add(problem_of(error))
        say(section.notes[-1].text)
    section.others, section.took = neighbours.cpus(), time.monotonic() - settings.began
    to_terminal([section], found, Console(width=None if sys.stdout.isatty() else 180))
    if output:
        write(Path(output), section, found)
    return 1 if section.failed else 0


def write(folder: Path, section: Section | None = None, found: dict[str, str] | None = None) -> None:
    """Write the page anew, with a section that was measured in place of the one that has its title."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _JSON
    sections, known = from_json(file.read_text(encoding="utf-8")) if file.exists() else ([], {})
    if section is not None:
        titles = [each.title for each in sections]
        place = titles.index(section.title) if section.title in titles else len(sections)
        sections[place : place + 1] = [section]
        known = found or known
        file.write_text(to_json(sections, known), encoding="utf-8")
        sections, known = from_json(file.read_text(encoding="utf-8"))  # rounded, as --render has them
    page = to_markdown(sections, known, misses.known(), {}, _INTRODUCTION)
    (folder / _PAGE).write_text(page, encoding="utf-8")


def _library() -> str:
    """Return the MPI library's name and version, as a process of its own finds it."""
    program = "from mpi4py import MPI; print(MPI.Get_library_version())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.strip().splitlines()
    return " ".join(lines[0].strip("\0 ").split()[:4]) if lines else "none"
