"""The launcher of MPI jobs that belongs to this interpreter: for tests and for benchmarks, so without pytest."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "is_open_mpi", "launcher"]

ROOT = Path(__file__).parents[2]
"""Where the programs of jobs find pydsm, tests and benchmarks."""


@functools.cache
def launcher() -> list[str]:
    """Return how to start ranks: the mpiexec beside this Python, or else the one on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        return []
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20)
    if "Open MPI" in said.stdout or "Open MPI" in said.stderr or "PRTE" in said.stdout:
        options = "--oversubscribe --mca osc ^ucx --mca mpi_yield_when_idle 1 --mca btl_base_warn_component_unused 0"
        return [found, *(["--allow-run-as-root"] if os.geteuid() == 0 else []), *options.split()]
    return [found]


def is_open_mpi() -> bool:
    """Say whether the launcher is Open MPI's."""
    return "--oversubscribe" in launcher()
