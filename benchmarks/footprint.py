"""What sharing costs in memory, and what importing a package costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pydsm
from benchmarks.attempts import Row, absent, attempt, has
from benchmarks.measure import Spread, Table, interleave, spread
from benchmarks.remote import Remote
from benchmarks.settings import Settings

__all__ = ["TITLE", "rows"]

TITLE = "Memory and imports"
_SHARED_MEMORY = Path("/dev/shm")
_LENGTHS = (1, 100, 512, 10_000, 1_000_000)
_ELEMENT = 8
_KINDS = {
    "pydsm": ("pydsm_memory", ()),
    "multiprocessing.Array": ("array_memory", ()),
    "multiprocessing.Manager().list": ("manager_memory", ()),
    "joblib, memory map": ("joblib_memory", ("joblib",)),
    "Ray, object store": ("ray_memory", ("ray",)),
}
_IMPORTS = {
    "pydsm": "pydsm",
    "SharedArray, posix_ipc": "SharedArray, posix_ipc",
    "multiprocessing, all of it": "multiprocessing.managers, multiprocessing.pool, multiprocessing.shared_memory",
    "joblib": "joblib",
    "ray": "ray",
    "numba": "numba",
    "mpi4py": "mpi4py",
    "UltraDict": "UltraDict",
}
_TIME_IMPORT = """
import sys, time
import numpy
before, began = len(sys.modules), time.perf_counter()
import {}
print(time.perf_counter() - began, len(sys.modules) - before)
"""


def rows(settings: Settings) -> Iterator[Row]:
    """Yield three tables: shared memory, memory of a worker, imports."""
    yield from attempt("shared memory beyond the data", settings, _overhead)
    yield from absent("joblib", "ray")
    yield from attempt("memory of a worker", settings, partial(_of_workers, settings))
    yield from attempt("imports", settings, partial(_imports, settings))


def _overhead() -> Iterator[Table]:
    """Yield what an array adds to shared memory beyond its elements, and what a namespace does once."""
    name = f"footprint-{os.getpid()}"
    pydsm.create(f"{name}/first", 1)
    once = _allocated(name)
    lines = []
    for length in _LENGTHS:
        before = _allocated(name), _length(name)
        A = pydsm.create(f"{name}/A", length)
        data = length * _ELEMENT
        lines.append(
            [
                str(length),
                str(A.stripes),
                _exactly(data),
                _exactly(_length(name) - before[1] - data),
                _exactly(_allocated(name) - before[0] - data),
            ]
        )
        pydsm.unlink(f"{name}/A")
        del A
    pydsm.unlink(f"{name}/first")
    yield Table(
        f"Shared memory of one array beyond its data; a namespace with a first element has {once >> 10} KiB",
        [
            ("elements (float64)", None),
            ("stripes", None),
            ("data", "bytes"),
            ("beyond it, bytes of the files", "bytes"),
            ("beyond it, as allocated in pages", "bytes"),
        ],
        lines,
    )


def _exactly(size: int) -> Spread:
    return spread([size])


def _files(namespace: str) -> list[os.stat_result]:
    return [path.stat() for path in _SHARED_MEMORY.glob(f"*pydsm.{namespace}.*")]


def _length(namespace: str) -> int:
    return sum(each.st_size for each in _files(namespace))


def _allocated(namespace: str) -> int:
    return sum(each.st_blocks * 512 for each in _files(namespace))


def _of_workers(settings: Settings) -> Iterator[Table]:
    """Yield what two workers' memory grew by when they read the whole array."""
    size = (4 if settings.quick else 32) << 20
    lines = []
    for name, (function, needs) in _KINDS.items():
        if not has(*needs):
            continue
        settings.say(f"memory of a worker: {name}")
        # A list of Python objects needs many times the memory: it gets an eighth of the elements.
        share = size // 8 if "list" in name else size
        with Remote("benchmarks.memoryuse", function, share // _ELEMENT) as remote:
            pss, rss, base = (remote(1, what) for what in ("pss", "rss", "base"))
        lines.append([name, *map(_exactly, map(int, (share, pss, rss, base)))])
    yield Table(
        "Memory that one of two workers has more after it has read every element of an array",
        [
            ("", None),
            ("elements hold", "bytes"),
            ("proportional share (PSS) added", "bytes"),
            ("resident (RSS) added", "bytes"),
            ("PSS before", "bytes"),
        ],
        lines,
    )


def _imports(settings: Settings) -> Iterator[Table]:
    """Yield how long imports take in a fresh interpreter that has NumPy, and how many modules they load."""
    present = {name: what for name, what in _IMPORTS.items() if has(what.split(".")[0].split(",")[0])}
    modules: dict[str, int] = {}

    def run(name: str, what: str, count: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", _TIME_IMPORT.format(what)], capture_output=True, text=True, check=True
        )
        seconds, loaded = done.stdout.split()
        modules[name] = int(loaded)
        return float(seconds)

    runs = {name: partial(run, name, what) for name, what in present.items()}
    samples = interleave(runs, rounds=3 if settings.quick else 9, seconds=0)
    yield Table(
        "Imports, in an interpreter that has imported NumPy",
        [("import", None), ("time", "time"), ("modules", "count")],
        [[name, spread(samples[name]), _exactly(modules[name])] for name in present],
    )
