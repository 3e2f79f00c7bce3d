"""Starting MPI jobs in tests: which launcher, how many ranks, and nobody left behind."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mpi.launchers import ROOT, is_open_mpi, launcher

__all__ = [
    "LONG",
    "ROOT",
    "Job",
    "is_open_mpi",
    "launcher",
    "left_in_shared_memory",
    "needs_mpi",
    "start",
    "started",
]

LONG = pytest.mark.skipif(not os.environ.get("PYDSM_LONG"), reason="a longer form: PYDSM_LONG=1")
_PATIENCE = 100.0


@functools.cache
def _has_mpi4py() -> bool:
    """Say whether an MPI job can be started here (whether its MPI is the launcher's is what a test finds out)."""
    return all(importlib.util.find_spec(name) for name in ("mpi4py", "cloudpickle"))


needs_mpi = pytest.mark.skipif(
    not _has_mpi4py() or not launcher(), reason="no MPI here: pip install '.[mpi]' brings mpi4py and MPICH"
)


class Job:
    """A job that was started; what it says is in `output` when it has ended."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def output(self) -> str:
        """What all ranks and the launcher have said so far."""
        return self.log.read_text()

    def wait(self, seconds: float = _PATIENCE) -> int:
        """Wait for the launcher's end; return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            raise AssertionError(f"the job did not end within {seconds} s; it said:\n{self.output}") from None


@contextlib.contextmanager
def start(nodes: str, program: Path | str, *arguments: str, log: Path, **environment: str) -> Iterator[Job]:
    """Start a program on ranks that pretend to be on those nodes, as ``"0,1|2,3"``."""
    count = nodes.count(",") + nodes.count("|") + 1
    command = [*launcher(), "-n", str(count), sys.executable, "-m", "pydsm", str(program), *arguments]
    with started(command, log, PYDSM_MPI_NODES=nodes, **environment) as job:
        yield job


@contextlib.contextmanager
def started(command: list[str], log: Path, **environment: str) -> Iterator[Job]:
    """Start a launcher; end it, whatever happens."""
    where = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environment}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=where, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True
        )
    try:
        yield Job(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def left_in_shared_memory(namespace: str, said: str, seconds: float = 15.0) -> list[str]:
    """Return what a job's namespaces, and its MPI library, have left when the reapers had the time to work.

    Parameters
    ----------
    namespace : str
    said : str
        What the job has said: its ranks say what they use (`tests.mpi.failing`), as other jobs may run meanwhile.
    """
    used = {path.removeprefix("/dev/shm/") for path in re.findall(r"\buses (\S+)", said)}
    until = time.monotonic() + seconds
    while True:
        left = [file for file in os.listdir("/dev/shm") if f"pydsm.{namespace}" in file or file in used]
        if not left or time.monotonic() >= until:
            return left
        time.sleep(0.05)
