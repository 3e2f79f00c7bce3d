"""``pydsm clean``: remove what dead programs left."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pydsm.ipc import catalog

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("clean", help="remove what dead programs left; never touches a living one's")
    parser.add_argument("namespaces", nargs="*", metavar="namespace", help="only these; all of yours unless given")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.set_defaults(command=_clean)


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
