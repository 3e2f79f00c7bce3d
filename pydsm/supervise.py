"""Watching a run: collect what the workers send, notice who ends, end the rest.

A worker reports once, through its own pipe, just before it ends.  Whoever ends without a
report has died, whatever its exit code.  At the first failure the others are told to stop
(SIGTERM, which unwinds their ``with`` and ``finally`` blocks) and killed if they do not.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from pydsm.errors import BrokenBarrierError, OwnerDiedError, WorkerDiedError, WorkerError
from pydsm.interrupt import DeferredInterrupt
from pydsm.ipc.child import Child

__all__ = ["Outcome", "Report", "Supervisor"]

_GRACE_SECONDS: Final = 0.5
_CAUSE_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 0.1
_INTERRUPT: Final = -1
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says at its end: its result, or its exception as text and, if it pickles, itself."""

    result: Any = None
    error: str | None = None
    remote_traceback: str = ""
    exception: bytes | None = None
    is_consequence: bool = False
    leftovers: tuple[str, ...] = ()

    @classmethod
    def of_exception(cls, error: BaseException) -> Report:
        """Describe an exception, leaving out pydsm's own frames above the user's function."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None and _is_ours(trace):
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))
        exception = None
        with contextlib.suppress(Exception):
            exception = pickle.dumps(error)
            pickle.loads(exception)
        summary = "".join(traceback.format_exception_only(type(error), error)).strip()
        return cls(None, summary, text, exception, isinstance(error, BrokenBarrierError | OwnerDiedError))

    def send(self, descriptor: int) -> None:
        """Write the report; a result that does not pickle is an error of the worker's."""
        try:
            message = pickle.dumps(self, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            unsent = TypeError(f"the result of the worker's function does not pickle: {error}")
            report = Report.of_exception(unsent)
            message = pickle.dumps(report, pickle.HIGHEST_PROTOCOL)
        view = memoryview(message)
        while view:
            view = view[os.write(descriptor, view) :]


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("pydsm.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a worker ended."""

    rank: int
    exitcode: int
    report: Report | None
    was_stopped: bool

    def failure(self) -> WorkerError | None:
        """Return the error of a worker that raised or died."""
        if self.report is None:
            return WorkerDiedError(
                f"worker {self.rank} {self._how()} before it returned",
                rank=self.rank,
                exitcode=self.exitcode,
                remote_traceback="",
            )
        if self.report.error is None:
            return None
        failure = WorkerError(
            f"worker {self.rank} raised {self.report.error}\n\nIn worker {self.rank}: {self.report.remote_traceback}",
            rank=self.rank,
            remote_traceback=self.report.remote_traceback,
        )
        if self.report.exception is not None:
            with contextlib.suppress(Exception):
                failure.__cause__ = pickle.loads(self.report.exception)
        return failure

    def weight(self) -> int:
        """Order failures: causes first, then those who only noticed, then those we ended."""
        if self.report is None:
            return 2 if self.was_stopped else 0
        return 1 if self.report.is_consequence else 0

    def _how(self) -> str:
        if self.exitcode >= 0:
            return f"ended with exit code {self.exitcode}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-self.exitcode).name}"
        return f"was killed by signal {-self.exitcode}"


class Supervisor:
    """Waits for the workers of one run."""

    def __init__(
        self,
        on_failure: Callable[[], None],
        on_tick: Sequence[Callable[[Iterable[int]], None]],
        interrupt: DeferredInterrupt,
    ) -> None:
        self._on_failure, self._on_tick = on_failure, on_tick
        self._children: dict[int, Child] = {}
        self._pipes: dict[int, int] = {}
        self._data: dict[int, bytearray] = {}
        self._outcomes: list[Outcome] = []
        self._selector = selectors.DefaultSelector()
        self._interrupt = interrupt
        if interrupt.reader >= 0:
            self._selector.register(interrupt.reader, selectors.EVENT_READ, (_INTERRUPT, False))
        self._term_at: float | None = None
        self._kill_at: float | None = None

    def add(self, rank: int, child: Child, pipe: int) -> None:
        """Watch a worker that was just started."""
        os.set_blocking(pipe, False)
        self._children[rank], self._pipes[rank], self._data[rank] = child, pipe, bytearray()
        self._selector.register(child.sentinel, selectors.EVENT_READ, (rank, True))
        self._selector.register(pipe, selectors.EVENT_READ, (rank, False))

    def wait(self) -> tuple[list[Any], list[str]]:
        """Return the results in rank order when all have ended, and what they left held.

        Raises
        ------
        WorkerError
            What went wrong first; the others have been stopped.
        """
        try:
            while self._children:
                self._step()
        except BaseException:  # Ctrl-C above all
            self.stop()
            raise
        finally:
            self._selector.close()
        failed = [outcome for outcome in self._outcomes if outcome.failure() is not None]
        if failed:
            failure = min(failed, key=Outcome.weight).failure()
            assert failure is not None
            raise failure
        self._outcomes.sort(key=lambda outcome: outcome.rank)
        reports = [outcome.report for outcome in self._outcomes if outcome.report is not None]
        return [report.result for report in reports], [each for report in reports for each in report.leftovers]

    def stop(self) -> None:
        """End all workers that still run: ask, wait a little, kill."""
        self._end_others()
        try:
            while self._children:
                self._step()
        except BaseException:  # a second Ctrl-C: no more waiting
            for child in self._children.values():
                child.send(signal.SIGKILL)
            while self._children:
                self._step()
            raise
        finally:
            self._selector.close()

    def _step(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            rank, has_ended = key.data
            if rank == _INTERRUPT:
                self._interrupt.act()
            elif has_ended:
                self._reap(rank)
            elif rank in self._pipes:
                self._read(rank)
        for tick in self._on_tick:
            tick(self._children)
        if self._term_at is not None and time.monotonic() >= self._term_at:
            self._end_others()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            for child in self._children.values():
                child.send(signal.SIGKILL)
            self._kill_at = time.monotonic() + _GRACE_SECONDS

    def _patience(self) -> float | None:
        waits = [_TICK_SECONDS] if self._on_tick else []
        due = self._term_at if self._kill_at is None else self._kill_at
        if due is not None:
            waits.append(max(0.0, due - time.monotonic()))
        return min(waits, default=None)

    def _read(self, rank: int) -> None:
        """Take what is in the pipe; stop listening at its end."""
        while True:
            try:
                chunk = os.read(self._pipes[rank], _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                break
            self._data[rank] += chunk
        self._selector.unregister(self._pipes[rank])
        os.close(self._pipes.pop(rank))

    def _reap(self, rank: int) -> None:
        if rank in self._pipes:
            self._read(rank)
        if rank in self._pipes:  # a child of the worker's still has the other end
            self._selector.unregister(self._pipes[rank])
            os.close(self._pipes.pop(rank))
        child = self._children.pop(rank)
        self._selector.unregister(child.sentinel)
        exitcode = child.reap()
        report = None
        with contextlib.suppress(Exception):
            report = pickle.loads(self._data[rank])
        outcome = Outcome(rank, exitcode, report, was_stopped=self._kill_at is not None)
        self._outcomes.append(outcome)
        if outcome.failure() is None or self._term_at is not None:
            return
        self._on_failure()
        # Who only noticed may have been faster than the cause: let that report first.
        self._term_at = time.monotonic() + (_CAUSE_SECONDS if outcome.weight() else 0)

    def _end_others(self) -> None:
        if self._kill_at is None:
            self._on_failure()
            self._kill_at = time.monotonic() + _GRACE_SECONDS
            for child in self._children.values():
                child.send(signal.SIGTERM)
