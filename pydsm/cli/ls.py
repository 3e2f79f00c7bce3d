"""``pydsm ls``: what exists in shared memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from pydsm.cli.inventory import take_inventory
from pydsm.cli.listing import show

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("ls", help="list namespaces, their arrays, locks, holders and waiters")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(command=_ls)


def _ls(options: argparse.Namespace) -> int:
    inventory = take_inventory()
    if options.json:
        print(json.dumps([dataclasses.asdict(namespace) for namespace in inventory], indent=2))
        return 0
    show(inventory)
    return 0
