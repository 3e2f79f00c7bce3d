"""Arguments of the commands, and what each prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import runpy
import sys
from collections.abc import Sequence

import pydsm
from pydsm.cli.inventory import take_inventory
from pydsm.cli.listing import show
from pydsm.errors import PydsmError
from pydsm.ipc import catalog

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="pydsm", description="Shared NumPy arrays with region locks: look at what exists, clean up, run programs."
    )
    parser.add_argument("--version", action="version", version=f"pydsm {pydsm.__version__}")
    commands = parser.add_subparsers(metavar="command")

    listing = commands.add_parser("ls", help="list namespaces, their arrays, locks, holders and waiters")
    listing.add_argument("--json", action="store_true", help="print JSON instead of text")
    listing.set_defaults(command=_ls)

    clean = commands.add_parser("clean", help="remove what dead programs left; never touches a living one's")
    clean.add_argument("namespaces", nargs="*", metavar="namespace", help="only these; all of yours unless given")
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    clean.set_defaults(command=_clean)

    run = commands.add_parser("run", help="run a Python program with defaults for its teams and clusters")
    run.add_argument("-n", "--workers", type=int, metavar="N", help="workers of a team that names no number")
    run.add_argument("program", help="path of the program")
    run.add_argument("args", nargs=argparse.REMAINDER, help="its own arguments")
    run.set_defaults(command=_run)

    options = parser.parse_args(arguments)
    if not hasattr(options, "command"):
        parser.print_help()
        return 0
    try:
        code: int = options.command(options)
    except PydsmError as error:
        print(f"pydsm: {error}", file=sys.stderr)
        return 1
    return code


def _ls(options: argparse.Namespace) -> int:
    inventory = take_inventory()
    if options.json:
        print(json.dumps([dataclasses.asdict(namespace) for namespace in inventory], indent=2))
        return 0
    show(inventory)
    return 0


def _clean(options: argparse.Namespace) -> int:
    known = catalog.namespaces()
    kept = 0
    for name in dict.fromkeys(options.namespaces):
        if name not in known or catalog.is_live(name):
            state = "is in use by a living program" if name in known else "is none of yours"
            print(f"pydsm: namespace {name!r} {state}: nothing of it is removed", file=sys.stderr)
            kept += 1
    wanted = [name for name in known if name in options.namespaces or not options.namespaces]
    if options.dry_run:
        removed = [file for name in wanted if not catalog.is_live(name) for file in sorted(known[name])]
    else:
        removed = [file for name in wanted for file in catalog.reclaim(name)]
    for file in removed:
        print(file)
    print(f"{len(removed)} stale names {'would be ' if options.dry_run else ''}removed")
    return 1 if kept else 0


def _run(options: argparse.Namespace) -> int:
    if options.workers is not None:
        os.environ["PYDSM_WORKERS"] = str(options.workers)
    if not os.path.isfile(options.program):
        print(f"pydsm: there is no program {options.program!r}", file=sys.stderr)
        return 2
    sys.argv = [options.program, *options.args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(options.program)))
    runpy.run_path(options.program, run_name="__main__")
    return 0
