"""``pydsm lab``: litmus tests, what memory models allow, and what this machine does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["add"]

_EPILOG = """\
examples:
  pydsm lab                            all tests, and which model allows what
  pydsm lab SB                         one test: all outcomes, allowed and observed
  pydsm lab SB --model tso --witness   an execution that shows it, step by step
  pydsm lab SB --run 100000            on this machine, as litmus7 reports it
  pydsm lab --run 1000 --memory entry  all tests on a team's memory: is each outcome allowed?
  pydsm lab my.litmus                  a test of your own; docs/lab.md has the language
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "lab",
        help="litmus tests: what memory models allow, and what is observed",
        description="Small programs that tell memory models apart: what each model allows, computed exactly, "
        "and what real workers do. Exit code 1 if something is observed that the memory's model forbids.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("test", nargs="?", help="name of a test, or a file *.litmus; all tests unless given")
    parser.add_argument("--model", metavar="NAME", help="only this memory model; 'pydsm lab' lists them")
    parser.add_argument(
        "--witness", action="store_true", help="print an execution under --model that ends as the test asks"
    )
    parser.add_argument("--run", type=_rounds, metavar="N", help="run N rounds with real workers")
    parser.add_argument(
        "--memory",
        default="machine",
        choices=("machine", "coherent", "release", "entry"),
        help="where to run: raw cells of this machine (the default), or arrays of a team with this memory",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(command=_lab, refuse=parser.error)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of rounds from 1, not {text!r}")
    return int(text)


def _lab(options: argparse.Namespace) -> int:
    if options.witness and (options.test is None or options.model is None):
        options.refuse("--witness needs a test and a --model")
    from pydsm.cli import labpages  # only now: other commands need no memory models

    try:
        if options.witness:
            return labpages.witness(options)
        if options.run is not None:
            return labpages.run(options)
        return labpages.catalogue(options) if options.test is None else labpages.single(options)
    except FileNotFoundError as error:
        if error.filename is None:
            raise  # an unknown name, which says so itself
        print(f"pydsm: there is no file {error.filename!r}", file=sys.stderr)
        return 2
