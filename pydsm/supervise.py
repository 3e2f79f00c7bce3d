"""Watching a run: collect what the workers send, notice who ends, end the rest.

A worker reports once, through its own pipe, just before it ends.  Whoever ends without a
report has died, whatever its exit code.  At the first failure the others are told to stop
(SIGTERM, which unwinds their ``with`` and ``finally`` blocks) and killed if they do not.
Where a team goes on after a death, only that worker's place in the results tells of it.
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
from pydsm.interrupt import DeferredSignals
from pydsm.ipc.child import Child

__all__ = ["Outcome", "Report", "Supervisor", "conclude"]

_GRACE_SECONDS: Final = 0.5
_CAUSE_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 0.1
_SIGNAL: Final = -1
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
    held: tuple[str, ...] = ()
    last_words: str = ""

    def failure(self) -> WorkerError | None:
        """Return the error of a worker that raised or died."""
        if self.report is None:
            holding = f", holding {' and '.join(self.held)}" if self.held else ""
            where = f"\n\nIn worker {self.rank}: {self.last_words}" if self.last_words else ""
            return WorkerDiedError(
                f"worker {self.rank} {self._how()} before it returned{holding}{where}",
                rank=self.rank,
                exitcode=self.exitcode,
                held=list(self.held),
                remote_traceback=self.last_words,
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

    def is_fatal(self, *, survive: bool) -> bool:
        """Say whether it ends the run for all."""
        if self.report is None:
            return self.was_stopped or not survive
        return self.report.error is not None

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


def conclude(outcomes: list[Outcome], *, survive: bool) -> tuple[list[Any], list[str]]:
    """Return the results in rank order when all have ended, and what they left held; or raise what went wrong first."""
    fatal = [outcome for outcome in outcomes if outcome.is_fatal(survive=survive)]
    if not fatal and not any(outcome.report for outcome in outcomes):
        fatal = outcomes  # nobody survived to go on
    if fatal:
        first = min(fatal, key=Outcome.weight)
        failure = first.failure()
        assert failure is not None
        for death in outcomes:  # that the team went on after, and that may be the cause
            if death.report is None and death is not first and not death.was_stopped:
                failure.add_note(str(death.failure()))
        raise failure
    outcomes.sort(key=lambda outcome: outcome.rank)
    results = [outcome.report.result if outcome.report else outcome.failure() for outcome in outcomes]
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    return results, [each for report in reports for each in report.leftovers]


class Supervisor:
    """Waits for the workers of one run."""

    def __init__(
        self,
        on_failure: Callable[[], None],
        on_death: Callable[[int, int], Sequence[str]],
        on_tick: Sequence[Callable[[Iterable[int]], None]],
        signals: DeferredSignals,
        *,
        survive: bool,
    ) -> None:
        self._on_failure, self._on_death, self._on_tick = on_failure, on_death, on_tick
        self._survive = survive
        self._children: dict[int, Child] = {}
        self._pipes: dict[int, int] = {}
        self._data: dict[int, bytearray] = {}
        self._outcomes: list[Outcome] = []
        self._selector = selectors.DefaultSelector()
        self._signals = signals
        if signals.reader >= 0:
            self._selector.register(signals.reader, selectors.EVENT_READ, (_SIGNAL, False))
        self._term_at: float | None = None
        self._kill_at: float | None = None

    def add(self, rank: int, child: Child, pipe: int) -> None:
        """Watch a worker that was just started."""
        try:
            os.set_blocking(pipe, False)
            self._selector.register(child.sentinel, selectors.EVENT_READ, (rank, True))
            self._selector.register(pipe, selectors.EVENT_READ, (rank, False))
        except BaseException:  # nobody may run unwatched
            child.send(signal.SIGKILL)
            child.reap()
            raise
        self._children[rank], self._pipes[rank], self._data[rank] = child, pipe, bytearray()

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
        return conclude(self._outcomes, survive=self._survive)

    def _is_fatal(self, outcome: Outcome) -> bool:
        return outcome.is_fatal(survive=self._survive)

    def stop(self) -> None:
        """End all workers that still run: ask, wait a little, kill."""
        self._end_others()
        try:
            while self._children:
                self._step()
        except BaseException:  # a second Ctrl-C: no more waiting
            self._on_tick = ()
            for child in self._children.values():
                child.send(signal.SIGKILL)
            while self._children:
                with contextlib.suppress(BaseException):  # nor for a third
                    self._step()
            raise
        finally:
            self._selector.close()

    def _step(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            rank, has_ended = key.data
            if rank == _SIGNAL:
                self._signals.act()
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
        outcome = self._outcome(rank, child.pid, exitcode, bytes(self._data[rank]))
        self._outcomes.append(outcome)
        if not self._is_fatal(outcome) or self._term_at is not None:
            return
        self._on_failure()
        # Who only noticed may have been faster than the cause: let that report first.
        self._term_at = time.monotonic() + (_CAUSE_SECONDS if outcome.weight() else 0)

    def _outcome(self, rank: int, pid: int, exitcode: int, data: bytes) -> Outcome:
        was_stopped = self._kill_at is not None
        try:
            report = pickle.loads(data)
        except Exception:  # no report: nothing, or what faulthandler wrote at the end
            last_words = data.decode(errors="replace").strip() if data.startswith(b"Fatal") else ""
            return Outcome(rank, exitcode, None, was_stopped, tuple(self._on_death(rank, pid)), last_words)
        return Outcome(rank, exitcode, report, was_stopped)

    def _end_others(self) -> None:
        if self._kill_at is None:
            self._on_failure()
            self._kill_at = time.monotonic() + _GRACE_SECONDS
            for child in self._children.values():
                child.send(signal.SIGTERM)
