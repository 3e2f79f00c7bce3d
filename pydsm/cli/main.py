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
from pydsm.cli.inventory import ArrayInfo, NamespaceInfo, take_inventory
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
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(command=_ls)

    clean = commands.add_parser("clean", help="remove what dead programs left; never touches a living one's")
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
    if not inventory:
        print("no namespaces")
        return 0
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print("pydsm ls prints tables with rich: pip install 'py-dsm[cli]', or use pydsm ls --json", file=sys.stderr)
        return 1
    console = Console()
    for namespace in inventory:
        if not namespace.arrays:
            console.print(Text(f"{_headline(namespace)}; no arrays", style="bold"))
            continue
        table = Table(title=Text(_headline(namespace)), title_justify="left", title_style="bold")
        for column in ("name", "shape", "dtype", "size", "stripes", "held by", "waiting"):
            table.add_column(column, justify="right" if column in ("size", "stripes") else "left")
        for array in namespace.arrays:
            table.add_row(*map(Text, _cells(array)))  # as it is: "[s]" in a dtype is no markup
        console.print(table)
    return 0


def _headline(namespace: NamespaceInfo) -> str:
    state = "live" if namespace.live else "stale: 'pydsm clean' removes it"
    return f"{namespace.name} ({state}), made by pid {namespace.pid} {namespace.age_seconds:.0f} s ago"


def _cells(array: ArrayInfo) -> list[str]:
    if array.problem is not None:
        return [array.name, "-", "-", "-", "-", array.problem, "-"]
    is_lock = not array.shape
    return [
        array.name,
        "named lock" if is_lock else " x ".join(map(str, array.shape)),
        "" if is_lock else array.dtype,
        "" if is_lock else _size(array.nbytes),
        str(array.stripes),
        "\n".join(map(str, array.holders + array.abandoned)) or "-",
        "\n".join(map(str, array.waiters)) or "-",
    ]


def _size(nbytes: int) -> str:
    amount = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"


def _clean(options: argparse.Namespace) -> int:
    if options.dry_run:
        removed = [
            file for name, files in catalog.namespaces().items() if not catalog.is_live(name) for file in sorted(files)
        ]
    else:
        removed = catalog.reclaim()
    for file in removed:
        print(file)
    print(f"{len(removed)} stale names {'would be ' if options.dry_run else ''}removed")
    return 0


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
