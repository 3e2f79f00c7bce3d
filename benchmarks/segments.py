"""Making, touching, attaching and removing a large array."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import SharedArray

import pydsm
from benchmarks.measure import Comparison, Run, Target, interleave
from benchmarks.settings import Settings

__all__ = ["TITLE", "rows"]

TITLE = "Segments"
_NAME = f"benchmarks-{os.getpid()}"
_ATTACHES = 20


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield create with first touch, attach, and removal, beside SharedArray alone."""
    size = 64 << 20 if settings.quick else 1 << 30
    label = "64 MB" if settings.quick else "1 GB"
    ours, theirs = _Pydsm(size), _Alone(size)
    for what, make in ((f"create and first touch, {label}", _create), (f"attach, {label}", _attach)):
        settings.say(what)
        yield _compare(what, make, ours, theirs, settings)
    settings.say("unlink")
    yield _compare(f"unlink and unmap, touched, {label}", _remove, ours, theirs, settings)


class _Pydsm:
    """An array of pydsm's."""

    def __init__(self, size: int) -> None:
        self.create: Callable[[], Any] = partial(pydsm.create, _NAME, size // 8, float)
        self.attach: Callable[[], Any] = partial(pydsm.attach, _NAME)
        self.remove: Callable[[], Any] = partial(pydsm.unlink, _NAME)


class _Alone:
    """The same array, of SharedArray's alone."""

    def __init__(self, size: int) -> None:
        self.create: Callable[[], Any] = partial(SharedArray.create, f"shm://{_NAME}", size // 8, float)
        self.attach: Callable[[], Any] = partial(SharedArray.attach, f"shm://{_NAME}")
        self.remove: Callable[[], Any] = partial(SharedArray.delete, f"shm://{_NAME}")


_Kind = _Pydsm | _Alone


def _compare(what: str, make: Callable[[_Kind], Run], ours: _Pydsm, theirs: _Alone, settings: Settings) -> Comparison:
    rounds = 5 if settings.quick else 9
    samples = interleave({"pydsm": make(ours), "alone": make(theirs)}, rounds=rounds, seconds=0)
    return Comparison(what, "SharedArray", "time", samples["pydsm"], samples["alone"], Target(1.1))


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
    def run(count: int) -> float:
        array = kind.create()
        try:
            array[:] = 1
            began = time.perf_counter()
            kept = [kind.attach() for _ in range(_ATTACHES)]
            seconds = time.perf_counter() - began
            if not all(each[-1] == 1 for each in kept):
                raise RuntimeError("an attached array shows other values")
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
