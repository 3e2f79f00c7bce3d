"""The commands: each is a module of this package, with an `add` that describes its arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import pydsm
from pydsm.errors import PydsmError

__all__ = ["main"]

_COMMANDS: Final = ("ls", "clean", "run", "race", "explore", "compare", "trace", "lab")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="pydsm",
        description="Shared NumPy arrays with region locks: look at what exists, clean up, run and examine programs.",
    )
    parser.add_argument("--version", action="version", version=f"pydsm {pydsm.__version__}")
    commands = parser.add_subparsers(metavar="command")
    for name in _COMMANDS:
        if find_spec(f"pydsm.cli.{name}"):
            import_module(f"pydsm.cli.{name}").add(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].endswith(".py"):  # mpiexec -n 5 python -m pydsm program.py
        given.insert(0, "run")
    options = parser.parse_args(given)
    if not hasattr(options, "command"):
        parser.print_help()
        return 0
    try:
        code: int = options.command(options)
    except PydsmError as error:
        print(f"pydsm: {error}", file=sys.stderr)
        return 1
    return code
