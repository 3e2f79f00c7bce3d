"""What the small arrays hold, as one worker sees them: of a memory with replicas each has its own view.

Looked at when the worker's function begins, at each push and pull, and when it ends, and only written
down where it has changed since: so what a worker wrote and did not publish is seen as well.
Plain reads are all it takes, and they are of this process's memory.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

__all__ = ["Views", "plain"]

_SHOWN: Final = 64


class Views:
    """The small arrays of a worker."""

    def __init__(self) -> None:
        self._roots: dict[str, Any] = {}
        self._told: dict[str, list[Any]] = {}

    def add(self, name: str, root: Any) -> None:
        """Look at an array from now on, if it is small."""
        if 0 < root.size <= _SHOWN:
            self._roots[name] = root

    def changed(self) -> dict[str, list[Any]]:
        """Return the elements of the arrays that look different than they did the last time."""
        seen = {name: _elements(root) for name, root in list(self._roots.items())}
        changed = {name: values for name, values in seen.items() if values != self._told.get(name)}
        self._told |= changed
        return changed


def plain(told: Any) -> Any:
    """Return what was told with the numbers that JSON has no word for as text."""
    if isinstance(told, float) and not math.isfinite(told):
        return str(told)
    if isinstance(told, dict):
        return {key: plain(value) for key, value in told.items()}
    return [plain(value) for value in told] if isinstance(told, list | tuple) else told


def _elements(root: Any) -> list[Any]:
    flat = np.asarray(root).ravel()
    values: list[Any] = flat.tolist() if flat.dtype.kind in "biuf" else [str(value) for value in flat]
    return plain(values) if flat.dtype.kind == "f" else values
