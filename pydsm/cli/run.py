"""``pydsm run``: run a program with defaults for its teams."""

from __future__ import annotations

import argparse
import os
from typing import Any

from pydsm.cli.program import add_program, has_program, run_program, run_ranks
from pydsm.instruments import MEMORIES
from pydsm.mpi.launcher import is_launched

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("run", help="run a Python program with defaults for its teams and clusters")
    parser.add_argument("-n", "--workers", type=int, metavar="N", help="workers of a team that names no number")
    parser.add_argument("--memory", choices=MEMORIES, help="memory of a team that names none")
    add_program(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if options.workers is not None:
        os.environ["PYDSM_WORKERS"] = str(options.workers)
    if options.memory is not None:
        os.environ["PYDSM_MEMORY"] = options.memory
    if not has_program(options):
        return 2
    if is_launched():
        return run_ranks(options)
    run_program(options)
    return 0
