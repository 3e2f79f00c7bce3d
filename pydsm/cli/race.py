"""``pydsm race``: run a program and check the accesses of its workers for data races."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from typing import Any, Final

from pydsm.cli.program import add_program, has_program, run_program
from pydsm.races import summary
from pydsm.races.options import MODES, read_options
from pydsm.races.suppress import read_patterns

__all__ = ["add"]

_ABOUT: Final = (
    "Run a program with every plain access of its workers checked: two accesses of one element, at least one of them "
    "a write, that no barrier, lock, fence or atomic operation orders are a data race.  Each is reported as soon as it "
    "is found, with the lines of both sides, and listed again at the end, to the standard error."
)
_MODES: Final = (
    "happens-before lets every lock order everything and reports only what is a race for certain; predict lets a "
    "region order only its own rows, and so finds races that this run did not show; strict also makes arrays "
    "read-only to writes that cannot be checked."
)


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "race",
        help="run a program and report the data races of its workers",
        description=_ABOUT,
        epilog=f"{_MODES}  The environment variable PYDSM_RACE says the same to programs that are run otherwise. "
        "See docs/races.md.",
    )
    parser.add_argument("--mode", choices=MODES, help="how to look for them; happens-before unless given")
    parser.add_argument("--halt", action="store_true", help="let the worker that finds the first one raise a RaceError")
    parser.add_argument("--log", metavar="FILE", help="append each report to this file, as a line of JSON")
    parser.add_argument("--suppressions", metavar="FILE", help="file of patterns of what is known and not reported")
    parser.add_argument("--exitcode", type=int, metavar="N", help="exit code if there was any race; 66 unless given")
    parser.add_argument("-n", "--workers", type=int, metavar="N", help="workers of a team that names no number")
    add_program(parser)
    parser.set_defaults(command=_race)


def _race(options: argparse.Namespace) -> int:
    if not has_program(options):
        return 2
    said = {"halt_on_error": int(options.halt) or None, "log_path": options.log, "exitcode": options.exitcode}
    said["suppressions"] = options.suppressions
    words = [shlex.quote(f"{name}={value}") for name, value in said.items() if value is not None]
    try:
        checked = read_options(" ".join([options.mode or "", *words]))
        read_patterns(checked.suppressions)
    except (ValueError, OSError) as error:
        print(f"pydsm: {error}", file=sys.stderr)
        return 2
    os.environ["PYDSM_RACE"] = checked.as_text()
    if options.workers is not None:
        os.environ["PYDSM_WORKERS"] = str(options.workers)
    code = _code_of(options)
    print(_summary(), file=sys.stderr)
    return checked.exitcode if summary.found() else code


def _code_of(options: argparse.Namespace) -> int:
    """Run the program; return its own exit code."""
    try:
        run_program(options)
    except SystemExit as request:
        if isinstance(request.code, str):
            print(request.code, file=sys.stderr)
        return request.code if isinstance(request.code, int) else int(request.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _summary() -> str:
    """Return what was found, in a line for each race."""
    races, runs = summary.found(), summary.runs()
    if not runs:
        return "pydsm: the program ran no team that was checked"
    many = "run" if runs == 1 else "runs"
    if not races:
        return f"pydsm: no data race in {runs} {many}"
    sure = sum(not race.possible for race in races)
    lines = [f"pydsm: {sure} data race{'s' * (sure != 1)} and {len(races) - sure} possible in {runs} {many}"]
    for race in races:
        lines.append(f"  {'possible: ' if race.possible else ''}array {race.array!r}")
        lines += [f"    {side.kind:12} {side.place}" for side in (race.access, race.previous)]
    return "\n".join(lines)
