"""Making, touching, attaching and removing arrays of several sizes, with small and with huge pages."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import SharedArray

import pydsm
from benchmarks.measure import Comparison, Run, Spread, Table, Target, interleave, spread
from benchmarks.settings import Settings

__all__ = ["TITLE", "rows"]

TITLE = "Segments"
_NAME = f"benchmarks-{os.getpid()}"
_ATTACHES = 20
_UPDATES = 200_000
_ROW = 8
"""Elements of a row: a cache line."""


def rows(settings: Settings) -> Iterator[Comparison | Table]:
    """Yield what an array costs beside SharedArray alone, what huge pages change, and how it grows."""
    size = 64 << 20 if settings.quick else 1 << 30
    label = _label(size)
    ours, theirs = _Pydsm(size), _Alone(size)
    for what, make in (
        (f"create and first touch, {label}", _create),
        (f"attach, first in a process, {label}", _attach),
        (f"attach again, {label}", _attach_again),
        (f"unlink and unmap, touched, {label}", _remove),
    ):
        settings.say(what)
        yield _compare(what, "SharedArray", make, ours, theirs, settings, Target(1.1))
    large = _Pydsm(size, huge=True)
    if large.is_granted():
        for what, make in (
            ("create and first touch", _create),
            ("random rows, one element each", partial(_use, use=_random_elements)),
            ("random rows, whole", partial(_use, use=_random_rows)),
            ("copy a quarter of it", partial(_use, use=_copy)),
            ("unlink and unmap, touched", _remove),
        ):
            settings.say(f"huge pages: {what}")
            yield _compare(f"huge pages: {what}, {label}", "small pages", make, large, ours, settings)
    settings.say("sizes")
    yield _sizes(settings, size, with_huge=large.is_granted())


class _Pydsm:
    """An array of pydsm's."""

    def __init__(self, size: int, *, huge: bool = False) -> None:
        self.create: Callable[[], Any] = partial(pydsm.create, _NAME, (size // 8 // _ROW, _ROW), float, huge=huge)
        self.attach: Callable[[], Any] = partial(pydsm.attach, _NAME)
        self.remove: Callable[[], Any] = partial(pydsm.unlink, _NAME)

    def is_granted(self) -> bool:
        """Say whether the kernel gives what was asked for."""
        with warnings.catch_warnings(record=True) as refused:
            warnings.simplefilter("always")
            self.create()
        self.remove()
        return not refused


class _Alone:
    """The same array, of SharedArray's alone."""

    def __init__(self, size: int) -> None:
        shape = (size // 8 // _ROW, _ROW)
        self.create: Callable[[], Any] = partial(SharedArray.create, f"shm://{_NAME}", shape, float)
        self.attach: Callable[[], Any] = partial(SharedArray.attach, f"shm://{_NAME}")
        self.remove: Callable[[], Any] = partial(SharedArray.delete, f"shm://{_NAME}")


_Kind = _Pydsm | _Alone


def _compare(
    what: str,
    beside: str,
    make: Callable[[_Kind], Run],
    ours: _Pydsm,
    theirs: _Kind,
    settings: Settings,
    target: Target | None = None,
) -> Comparison:
    rounds = 5 if settings.quick else 9
    samples = interleave({"pydsm": make(ours), "peer": make(theirs)}, rounds=rounds, seconds=0)
    return Comparison(what, beside, "time", samples["pydsm"], samples["peer"], target)


def _create(kind: _Kind) -> Run:
    def run(count: int) -> float:
        began = time.perf_counter()
        array = kind.create()
        try:
            array[:] = 1
            return time.perf_counter() - began
        finally:
            kind.remove()

    return run


def _attach(kind: _Kind) -> Run:
    """Attach what this process has not mapped: each attachment is gone before the next."""

    def run(count: int) -> float:
        kind.create()[:] = 1
        try:
            seconds = 0.0
            for _ in range(_ATTACHES):
                began = time.perf_counter()
                array = kind.attach()
                seconds += time.perf_counter() - began
                _check(array)
                del array
            return seconds / _ATTACHES
        finally:
            kind.remove()

    return run


def _attach_again(kind: _Kind) -> Run:
    """Attach what this process has mapped, as its creator."""

    def run(count: int) -> float:
        array = kind.create()
        try:
            array[:] = 1
            began = time.perf_counter()
            kept = [kind.attach() for _ in range(_ATTACHES)]
            seconds = time.perf_counter() - began
            for each in kept:
                _check(each)
            return seconds / _ATTACHES
        finally:
            kind.remove()

    return run


def _remove(kind: _Kind) -> Run:
    def run(count: int) -> float:
        array = kind.create()
        array[:] = 1
        began = time.perf_counter()
        kind.remove()
        del array
        return time.perf_counter() - began

    return run


def _use(kind: _Kind, use: Callable[[Any], Callable[[], object]]) -> Run:
    """Use an array that is touched already, as a plain ndarray."""

    def run(count: int) -> float:
        array = kind.create()
        try:
            array[:] = 1
            action = use(array.view(np.ndarray))
            began = time.perf_counter()
            action()
            return time.perf_counter() - began
        finally:
            kind.remove()

    return run


def _random_elements(array: Any) -> Callable[[], object]:
    chosen = np.random.default_rng(7).integers(0, len(array), _UPDATES)
    return lambda: array.__setitem__((chosen, 0), 2.0)


def _random_rows(array: Any) -> Callable[[], object]:
    chosen = np.random.default_rng(7).integers(0, len(array), _UPDATES)
    values = np.ones((_UPDATES, _ROW))
    return lambda: array.__setitem__(chosen, values)


def _copy(array: Any) -> Callable[[], object]:
    target = np.zeros((len(array) // 4, _ROW))
    return lambda: np.copyto(target, array[: len(target)])


def _check(array: Any) -> None:
    if array[-1, 0] != 1:
        raise RuntimeError("an attached array shows other values")


def _sizes(settings: Settings, largest: int, *, with_huge: bool) -> Table:
    """Return what creation and first touch cost, for one array and for each GB of it."""
    lines: list[list[str | Spread]] = []
    for size in (each for each in (1 << 20, 16 << 20, 256 << 20, 1 << 30) if each <= largest):
        for pages, huge in (("small", False), ("huge", True))[: 1 + with_huge]:
            created, touched = _phases(_Pydsm(size, huge=huge), rounds=3 if settings.quick else 7)
            cells = [created, [seconds * (1 << 30) / size for seconds in created], touched]
            cells.append([seconds * (1 << 30) / size for seconds in touched])
            lines.append([_label(size), pages, *map(spread, cells)])
    columns = ("create", "create, a GB", "first touch", "first touch, a GB")
    return Table(
        "Creating arrays of several sizes: the room is reserved, the zeroes are written at the first touch "
        "(with huge pages at creation)",
        [("size", None), ("pages", None), *((column, "time") for column in columns)],
        lines,
    )


def _phases(kind: _Pydsm, rounds: int) -> tuple[list[float], list[float]]:
    created, touched = [], []
    for turn in range(rounds + 1):
        began = time.perf_counter()
        array = kind.create()
        made = time.perf_counter()
        array[:] = 1
        ended = time.perf_counter()
        kind.remove()
        if turn:  # the first one warms up
            created.append(made - began)
            touched.append(ended - made)
        del array
    return created, touched


def _label(size: int) -> str:
    return f"{size >> 30} GB" if size >= 1 << 30 else f"{size >> 20} MB"
