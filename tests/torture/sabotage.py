"""Protections broken on purpose, in the workers only: a harness that finds nothing wrong with these is blind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import pydsm
from pydsm.array import GlobalArray
from pydsm.ipc.lockfile import LockFile

__all__ = [
    "everybody_is_dead",
    "regions_in_python",
    "stale_whatever_lives",
    "without_exclusion",
    "without_undo",
]


class _GivenBackAtOnce:
    """A region that is left as soon as it was entered; its view can still be written."""

    def __init__(self, region: Any) -> None:
        self.region = region
        self.recovered: list[str] = []

    def __enter__(self) -> Any:
        with self.region as view:
            self.recovered = list(self.region.recovered)
            return tuple(map(np.asarray, view)) if isinstance(view, tuple) else np.asarray(view)

    def __exit__(self, *error: object) -> None:
        pass


def _wrap(change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    honest, broken, group = GlobalArray.locked, change(GlobalArray.locked), change(pydsm.locked)

    def broken_group(*args: Any, **options: Any) -> Any:
        GlobalArray.locked = honest  # type: ignore[method-assign]  # a group is made of honest regions
        try:
            return group(*args, **options)
        finally:
            GlobalArray.locked = broken  # type: ignore[method-assign]

    GlobalArray.locked = broken  # type: ignore[method-assign]
    pydsm.locked = broken_group


def without_exclusion() -> None:
    """Rows are not held while one is inside."""
    _wrap(lambda locked: lambda *args, **options: _GivenBackAtOnce(locked(*args, **options)))


def without_undo() -> None:
    """``undo=True`` is ignored."""

    def forgetful(locked: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, undo=False, **options: locked(*args, **options)

    _wrap(forgetful)


def everybody_is_dead() -> None:
    """A process that is stopped, or only slow, is taken for dead."""
    LockFile.is_held_elsewhere = lambda file, slot: False  # type: ignore[method-assign]
    LockFile.hold_slot = lambda file, slot: True  # type: ignore[method-assign]


def stale_whatever_lives(prefix: str) -> None:
    """Names are taken back whoever uses them; only those with the prefix, for other programs live here too."""
    honest = LockFile.prove_alone
    LockFile.prove_alone = lambda file: prefix in file.name or honest(file)  # type: ignore[method-assign]


class _InPython:
    """A region whose enter and exit can be interrupted, and that nothing gives back then."""

    _kept: ClassVar[list[Any]] = []

    def __init__(self, region: Any) -> None:
        self.region = region
        self._kept.append(region)

    def __enter__(self) -> Any:
        view = self.region.__enter__()
        len("here a handler may raise, and nobody will leave")
        return view

    def __exit__(self, *error: Any) -> None:
        len("here too")
        self.region.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.region, name)


def regions_in_python() -> None:
    """Regions are entered and left by bytecode."""
    _wrap(lambda locked: lambda *args, **options: _InPython(locked(*args, **options)))
