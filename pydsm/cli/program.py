"""Running somebody's program for a command."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence

__all__ = ["add_program", "has_program", "run_program", "run_ranks", "split_arguments"]


def add_program(parser: argparse.ArgumentParser) -> None:
    """Let a command take a program: its own options before or behind it, and what it does not know for the program."""
    parser.add_argument(
        "program", help="path of the program; its own arguments follow, behind -- if they are also mine"
    )
    parser.allow_abbrev = False
    parser.set_defaults(args=[], own=tuple(parser._option_string_actions))


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off what is behind the first ``--``: nobody but the program reads that."""
    listed = list(arguments)
    if "--" not in listed:
        return listed, []
    place = listed.index("--")
    return listed[:place], listed[place + 1 :]


def has_program(options: argparse.Namespace) -> bool:
    """Say whether there is such a program, and say so on stderr if not."""
    if os.path.isfile(options.program):
        return True
    print(f"pydsm: there is no program {options.program!r}", file=sys.stderr)
    return False


def set_arguments(options: argparse.Namespace) -> None:
    """Let `sys.argv` be the program's."""
    sys.argv = [options.program, *options.args]


def run_program(options: argparse.Namespace) -> None:
    """Run the program in this process, as ``python program args`` would."""
    set_arguments(options)
    sys.path.insert(0, os.path.dirname(os.path.abspath(options.program)))
    runpy.run_path(options.program, run_name="__main__")


def run_ranks(options: argparse.Namespace) -> int:
    """Run the program on all ranks of the MPI job that this process is one of; return the exit code."""
    from pydsm.mpi.launch import main

    set_arguments(options)  # on all ranks: workers look at it, too
    return main(options.program, lambda: run_program(options))
