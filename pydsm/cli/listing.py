"""How `pydsm ls` shows an inventory: a table on a terminal, plain lines for other programs."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence

from pydsm.cli.inventory import ArrayInfo, NamespaceInfo

__all__ = ["show"]

_COLUMNS = ("name", "shape", "dtype", "size", "stripes", "held by", "waiting")


def show(inventory: Sequence[NamespaceInfo]) -> None:
    """Print an inventory."""
    if not inventory:
        print("no namespaces")
        return
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            _show_tables(inventory)
            return
    for namespace in inventory:
        _show_lines(namespace)


def _show_tables(inventory: Sequence[NamespaceInfo]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for namespace in inventory:
        if not namespace.arrays:
            console.print(Text(_headline(namespace), style="bold"))
            continue
        table = Table(title=Text(_headline(namespace)), title_justify="left", title_style="bold")
        for column in _COLUMNS:
            table.add_column(column, justify="right" if column in ("size", "stripes") else "left")
        for array in namespace.arrays:
            table.add_row(*(Text("\n".join(cell)) for cell in _cells(array)))  # "[s]" in a dtype is no markup
        console.print(table)


def _show_lines(namespace: NamespaceInfo) -> None:
    """Print one line for each array, however long it is."""
    print(_headline(namespace))
    rows = [_COLUMNS, *(tuple(", ".join(cell) for cell in _cells(array)) for array in namespace.arrays)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if namespace.arrays else ():
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _headline(namespace: NamespaceInfo) -> str:
    state = "live" if namespace.live else "stale: 'pydsm clean' removes it"
    made = (
        "" if math.isnan(namespace.age_seconds) else f", made by pid {namespace.pid} {namespace.age_seconds:.0f} s ago"
    )
    what = "" if namespace.arrays else "; no arrays"
    return f"{namespace.name} ({state}){made}, {_size(namespace.nbytes)} in all{what}"


def _cells(array: ArrayInfo) -> list[list[str]]:
    """Return what the columns say, as lines."""
    if array.problem is not None:
        return [[array.name], ["-"], ["-"], ["-"], ["-"], [array.problem], ["-"]]
    is_lock = not array.shape
    return [
        [array.name],
        ["named lock" if is_lock else " x ".join(map(str, array.shape))],
        ["-" if is_lock else array.dtype],
        ["-" if is_lock else _size(array.nbytes)],
        [str(array.stripes)],
        list(map(str, array.holders + array.abandoned)) or ["-"],
        list(map(str, array.waiters)) or ["-"],
    ]


def _size(nbytes: int) -> str:
    amount = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"
