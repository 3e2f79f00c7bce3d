"""A run of somebody's program in processes of its own, for ``pydsm compare``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydsm.cli.differences import Trial
from pydsm.ipc import catalog
from pydsm.snapshot import read_runs

__all__ = ["run_trial"]

_LAST_WORDS_SECONDS: Final = 3.0


def run_trial(options: argparse.Namespace, memory: str, schedule: str | None, timeout: float | None) -> Trial:
    """Run the program in processes of its own, which are ended with it."""
    environment = {**os.environ, "PYDSM_MEMORY": memory, "PYTHONUNBUFFERED": "1"}
    environment.pop("PYDSM_SCHEDULE", None)
    if schedule is not None:
        environment["PYDSM_SCHEDULE"] = schedule
    if options.workers is not None:
        environment["PYDSM_WORKERS"] = str(options.workers)
    with tempfile.TemporaryDirectory(prefix="pydsm-compare-") as folder:
        environment["PYDSM_SNAPSHOT"] = folder
        command = [sys.executable, options.program, *options.args]
        started = time.monotonic()
        with _files(folder) as (output, errors):
            code = _call(command, environment, output, errors, timeout or 1e9)
            texts = [_text(file) for file in (output, errors)]
        name = memory if schedule is None else f"{memory}, seed {schedule}"
        return Trial(name, code, texts[0].splitlines(), read_runs(folder), time.monotonic() - started, texts[1])


@contextlib.contextmanager
def _files(folder: str) -> Iterator[tuple[Any, Any]]:
    with tempfile.TemporaryFile(dir=folder) as output, tempfile.TemporaryFile(dir=folder) as errors:
        yield output, errors


def _text(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode(errors="replace")
    return text


def _call(command: Sequence[str], environment: dict[str, str], output: Any, errors: Any, timeout: float) -> int | None:
    """Return the exit code of a command; None if it and its children were ended because it took too long."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,  # with the workers it starts
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that runs still, if it can be in order, and what it started."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # as Ctrl-C, so that it tidies up
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_SECONDS)
    finally:  # also if Ctrl-C comes a second time
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        catalog.reclaim()
