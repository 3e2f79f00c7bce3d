"""``pydsm run``: run a program with defaults for its teams."""

from __future__ import annotations

import argparse
import os
from typing import Any

from pydsm.cli.arguments import from_one
from pydsm.cli.program import has_program, run_program
from pydsm.instruments import MEMORIES

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("run", help="run a Python program with defaults for its teams and clusters")
    parser.add_argument("-n", "--workers", type=from_one, metavar="N", help="workers of a team that names no number")
    parser.add_argument("--memory", choices=MEMORIES, help="memory of a team that names none")
    parser.add_argument("program", help="path of the program")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="its own arguments")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if options.workers is not None:
        os.environ["PYDSM_WORKERS"] = str(options.workers)
    if options.memory is not None:
        os.environ["PYDSM_MEMORY"] = options.memory
    if not has_program(options):
        return 2
    run_program(options)
    return 0
