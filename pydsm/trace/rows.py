"""Rows of the whole array that a simple key means, without the cost of finding any key's."""

from __future__ import annotations

from typing import Any

__all__ = ["interval_of"]


def interval_of(rows: Any, key: Any) -> tuple[int, int] | None:
    """Return the rows of the whole array that a simple key means; None for another key."""
    if type(key) is int and rows.step:
        first = rows.origin + (key + rows.count if key < 0 else key) * rows.step
        return first, first + 1
    if rows.step == 0:
        return rows.origin, rows.origin + rows.span
    if key is None or key is Ellipsis:
        key = slice(None)
    if type(key) is slice and rows.step == 1:
        start, stop, step = key.indices(rows.count)
        if step == 1:
            return rows.origin + start, rows.origin + max(start, stop)
    return None
