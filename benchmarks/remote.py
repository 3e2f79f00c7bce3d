"""The other end of `benchmarks.serve`: a peer that runs in a process of its own.

Peers with threads of their own (Ray, numba, loky, MPI) must not be in a process that
forks workers, so each gets one; it sleeps while others are measured.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.measure import Run

__all__ = ["Remote"]

_ROOT = Path(__file__).parent.parent
_PATIENCE = 120
_LEAVE_TAKING = 20


class Remote:
    """A run, as `benchmarks.measure` has them, in another process.

    Parameters
    ----------
    module, function : str
        What makes the run there; called with an ExitStack, which is closed at the end, and
        the arguments.
    *arguments
        Anything that JSON can say.
    launcher : sequence of str
        A command that starts the interpreter, as mpirun.
    how : sequence of str
        What of `benchmarks.serve` the interpreter starts.
    environment : mapping
        Variables to set there.
    """

    def __init__(
        self,
        module: str,
        function: str,
        *arguments: Any,
        launcher: Sequence[str] = (),
        how: Sequence[str] = ("-m", "benchmarks.serve"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        texts = map(json.dumps, arguments)
        self._command = [*launcher, sys.executable, *how, module, function, *texts]
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Remote:
        self._complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=self._environment,
            start_new_session=True,
        )
        self._is_ready = False
        return self

    def ready(self) -> None:
        """Wait until it is set up; several can set themselves up at once.

        Raises
        ------
        RuntimeError
            It could not; the message says why.
        """
        if not self._is_ready:
            self._answer()
            self._is_ready = True

    def __call__(self, count: int, *more: Any) -> float:
        """Have it repeat so often and return the seconds that it took; `more` says what, if it does several things."""
        return float(self.ask(count, *more))

    def ask(self, *order: Any) -> Any:
        """Return what the run returns, if that is something else than seconds."""
        self.ready()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(order)}\n".encode())
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def bound(self, *more: Any) -> Run:
        """Return the run of one of the things that it does."""
        return lambda count: self(count, *more)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            raise RuntimeError(f"no answer for {_PATIENCE} s from {' '.join(self._command[-4:])}")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended: {self._last_complaint()}")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:  # a launcher says what became of its ranks
            raise RuntimeError(f"it ended: {self._last_complaint()}") from None
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _last_complaint(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(b"null\n", timeout=_LEAVE_TAKING)  # the end of input does not reach all ranks 0
        except subprocess.TimeoutExpired:  # not reaped, so the number is still its own
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self._complaints.close()
