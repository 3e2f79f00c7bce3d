"""The commands: each is a module of this package, with an `add` that describes its arguments."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import pydsm
from pydsm.cli.program import split_arguments
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
        import_module(f"pydsm.cli.{name}").add(commands)
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0].endswith(".py"):  # mpiexec -n 5 python -m pydsm program.py
        given = ["run", *given]
    own, others = (given, []) if given[:1] == ["run"] else split_arguments(given)
    options, unknown = parser.parse_known_args(own)
    if given[:1] != ["run"] and hasattr(options, "program"):
        options.args = [*unknown, *others]
    elif unknown or others:
        parser.error(f"unrecognized arguments: {' '.join([*unknown, *others])}")
    if not hasattr(options, "command"):
        parser.print_help()
        return 0
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read it has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except PydsmError as error:
        print(f"pydsm: {error}", file=sys.stderr)
        return 1
    return code
