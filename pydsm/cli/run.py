"""``pydsm run``: run a program with defaults for its teams."""

from __future__ import annotations

import argparse
import os
from typing import Any

from pydsm.cli.arguments import from_one
from pydsm.cli.program import has_program, run_program, run_ranks
from pydsm.instruments import MEMORIES
from pydsm.mpi.launcher import is_launched, launch

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("run", help="run a Python program with defaults for its teams and clusters")
    parser.add_argument("-n", "--workers", type=from_one, metavar="N", help="workers of a team that names no number")
    parser.add_argument("--memory", choices=MEMORIES, help="memory of a team that names none")
    parser.add_argument("--mpi", action="store_true", help="run on the ranks of an MPI job; see docs/mpi.md")
    parser.add_argument("--hosts", metavar="A,B", help="run on these machines, over MPI: workers are spread evenly")
    parser.add_argument(
        "--launcher", metavar="COMMAND", default="mpiexec", help="what starts MPI ranks, with its own options"
    )
    parser.add_argument("program", help="path of the program")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="its own arguments")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if (options.mpi or options.hosts) and not is_launched():
        if not has_program(options):
            return 2
        return launch(
            [options.program, *options.args], options.workers, (options.hosts or "").split(","), options.launcher
        )
    if options.workers is not None:
        os.environ["PYDSM_WORKERS"] = str(options.workers)
    if options.memory is not None:
        os.environ["PYDSM_MEMORY"] = options.memory
    if is_launched():
        return run_ranks(options)
    if not has_program(options):
        return 2
    run_program(options)
    return 0
