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
from pydsm.cli.arguments import mistaken
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
    try:
        try:
            code = _run(parser, arguments)
        finally:
            if not sys.stdout.closed:
                sys.stdout.flush()
    except BrokenPipeError:  # who read it has seen enough, as head does
        _go_silent()
        return 128 + signal.SIGPIPE
    except PydsmError as error:
        print(f"pydsm: {error}", file=sys.stderr)
        return 1
    return code


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0].endswith(".py"):  # mpiexec -n 5 python -m pydsm program.py
        given = ["run", *given]
    own, others = (given, []) if given[:1] == ["run"] else split_arguments(given)
    options, unknown = parser.parse_known_args(own)
    if given[:1] != ["run"] and hasattr(options, "program"):
        if (found := mistaken(unknown, options.own)) is not None:
            text = f"unknown option {found[0]}: did you mean {found[1]}? behind -- it is the program's"
            print(f"pydsm: {text}", file=sys.stderr)
            return 2
        options.args = [*unknown, *others]
    elif unknown or others:
        parser.error(f"unrecognized arguments: {' '.join([*unknown, *others])}")
    if not hasattr(options, "command"):
        parser.print_help()
        return 0
    code: int = options.command(options)
    return code


def _go_silent() -> None:
    """Let what is left in the buffers of both streams go nowhere, when Python flushes them at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
