"""Programs for the original py-dsm as whole processes, under it and under pydsm.

One source file, two interpreters; the time is that of a user's shell, interpreter start
and imports included.  Both must print the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import Comparison, Target, interleave
from benchmarks.oldpython import environment_of
from benchmarks.settings import WORKERS, Settings

__all__ = ["TITLE", "refuse_two_at_once", "rows"]

TITLE = "Programs for the original, whole processes"
_PROGRAMS = Path(__file__).parent / "programs"
_SHARED_MEMORY = Path("/dev/shm")
_ITS_NAMES = ("numThread2048", "sense2048", "counter2048", "spInd2048")  # the same in every program
_PATIENCE = 120
_NEVER_SLOWER = Target(1)
_FIVE_TIMES_AS_FAST = Target(0.2)


@dataclass(frozen=True, slots=True)
class Program:
    """A file in programs/, its size, and what has to come of it."""

    name: str
    what: str
    size: int
    quick_size: int
    target: Target


_ALL = (
    Program("vecadd", "add vectors of {} elements", 200_000, 50_000, _NEVER_SLOWER),
    Program("matmul", "multiply matrices of {} rows", 500, 200, _NEVER_SLOWER),
    Program("distances", "distances of {} points", 1_000, 300, _NEVER_SLOWER),
    Program("sieve", "count primes, {} blocks handed out under a lock", 4_000, 1_000, _FIVE_TIMES_AS_FAST),
    Program("heat", "heat in a rod, {} barriers", 200, 50, _FIVE_TIMES_AS_FAST),
)


def rows(settings: Settings) -> Iterator[Comparison]:
    """Yield each program under pydsm beside the same under py-dsm 1.1.1."""
    old = settings.old_python
    if old is None:
        return
    for program in _ALL:
        size = program.quick_size if settings.quick else program.size
        for workers in WORKERS:
            output: set[str] = set()
            arguments = [str(_PROGRAMS / f"{program.name}.py"), str(workers), str(size)]
            runs = {python: partial(_run, python, arguments, output) for python in (sys.executable, old)}
            samples = interleave(runs, rounds=3 if settings.quick else 9, seconds=0)
            if len(output) != 1:
                raise RuntimeError(f"{program.name} printed different results: {sorted(output)}")
            what = f"{program.name}.py: {program.what.format(size)}, {workers} workers"
            yield Comparison(what, "py-dsm 1.1.1", "time", samples[sys.executable], samples[old], program.target)


def _run(python: str, arguments: list[str], output: set[str], count: int) -> float:
    """Time one process, in a folder of its own because the original drops a file there."""
    refuse_two_at_once()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [python, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment_of(python),
        )
        try:
            printed, _ = process.communicate(timeout=_PATIENCE)
        except BaseException:
            _end(process, Path(arguments[0]).stem)
            raise
        seconds = time.perf_counter() - began
    if process.returncode:
        _end(process, Path(arguments[0]).stem)
        raise RuntimeError(f"{arguments[0]} failed under {python}")
    output.add(printed)
    return seconds


def refuse_two_at_once() -> None:
    """Raise if the names that every program for the original has are taken."""
    taken = set(os.listdir(_SHARED_MEMORY)).intersection(_ITS_NAMES)
    if taken:
        raise RuntimeError(
            "a program for py-dsm 1.1.1 runs now or has left its names in /dev/shm "
            f"({', '.join(sorted(taken))}); two of them cannot run at once"
        )


def _end(process: subprocess.Popen[str], program: str) -> None:
    """Kill what is left of the program and remove what the original leaves behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in (*map(_SHARED_MEMORY.joinpath, _ITS_NAMES), *_SHARED_MEMORY.glob(f"{program}[A-Z]*")):
        path.unlink(missing_ok=True)
