"""One run of somebody's program for each seed, each in a process forked from this one.

NumPy and pydsm are imported by then, so a run costs what the program itself does.  What came of it is
told through a pipe; what it printed is in files.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydsm.cli.outcomes import Outcome, last_line, of_error, of_races, was_checked
from pydsm.cli.program import run_program
from pydsm.control.board import Board, Rank, Word, place
from pydsm.control.instrument import REPORT
from pydsm.control.plan import Plan
from pydsm.ipc.child import Child, start_child

__all__ = ["Trials"]

_LAST_WORDS_SECONDS: Final = 2.0
_PIPE: Final = 1 << 16
_KEPT: Final = 1 << 20  # bytes of what is printed that are compared


@dataclass(slots=True)
class _Running:
    """A program that runs."""

    plan: Plan
    child: Child
    pipe: int
    deadline: float
    verdict: Outcome | None = None
    """What was found out about it before its end."""


class Trials:
    """Runs of a program, several at a time.

    Parameters
    ----------
    options : argparse.Namespace
        Its `program` and `args`.
    folder : str
        Where its output goes meanwhile.
    jobs : int
        How many at a time.
    timeout : float
        Seconds until a run is ended.
    """

    def __init__(self, options: argparse.Namespace, folder: str, jobs: int, timeout: float) -> None:
        self._options, self._folder, self._jobs, self._timeout = options, folder, jobs, timeout
        self._running: dict[int, _Running] = {}

    def run(self, plans: Iterable[Plan]) -> Generator[Outcome]:
        """Yield what came of each, as they end."""
        waiting = iter(plans)
        try:
            while True:
                while len(self._running) < self._jobs and (plan := next(waiting, None)) is not None:
                    self._start(plan)
                if not self._running:
                    return
                yield from self._ended()
        finally:
            for run in self._running.values():
                run.child.send(signal.SIGKILL)
            while self._running:
                list(self._ended())

    def _start(self, plan: Plan) -> None:
        child, pipe = start_child("fork", f"seed {plan.seed}", _trial, self._options, plan, self._path(plan))
        self._running[child.sentinel] = _Running(plan, child, pipe, time.monotonic() + self._timeout)

    def _path(self, plan: Plan) -> str:
        return f"{self._folder}/{plan.seed}"

    def _ended(self) -> Iterator[Outcome]:
        with selectors.DefaultSelector() as selector:
            for sentinel in self._running:
                selector.register(sentinel, selectors.EVENT_READ)
            patience = min(run.deadline for run in self._running.values()) - time.monotonic()
            ended = [int(key.fd) for key, _ in selector.select(max(0.0, patience))]
        for sentinel in ended:
            yield self._collect(self._running.pop(sentinel))
        for run in self._running.values():
            if time.monotonic() >= run.deadline:
                self._give_up(run)

    def _give_up(self, run: _Running) -> None:
        """Ask who has the turn where it is; kill the program if that does not end it."""
        if run.verdict is not None:
            run.child.send(signal.SIGKILL)
            run.deadline += _LAST_WORDS_SECONDS
            return
        rank, pid = _who_runs(self._path(run.plan))
        who = "the program" if rank is None else f"rank {rank}, whose turn it is, computes, sleeps or spins, and"
        what = f"{who} came to no synchronisation for a part of {self._timeout:g} seconds"
        if rank is None:
            what = f"the program did not end in {self._timeout:g} seconds"
        run.verdict = Outcome(run.plan, "hang", what)
        run.deadline = time.monotonic() + _LAST_WORDS_SECONDS
        if pid and _parent_of(pid) == run.child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGABRT)  # its last words say where it is

    def _collect(self, run: _Running) -> Outcome:
        code = run.child.reap()
        with open(run.pipe, "rb") as pipe:
            os.set_blocking(run.pipe, False)  # a process that the program left behind may have the other end
            told = pipe.read(_PIPE) or b""
        path = self._path(run.plan)
        errors = _written(f"{path}.err")
        outcome = run.verdict or _outcome(run.plan, told, code, errors)
        if outcome.kind == "hang":
            outcome.what += _where(errors)
        outcome.output = _written(f"{path}.out")
        outcome.errors = errors
        for line in _report(path):
            outcome.steps = max(outcome.steps, line.get("steps", 0))
            outcome.digest = line.get("digest", outcome.digest)
            outcome.scheduled |= line.get("plan") == str(run.plan)
        for end in (".out", ".err", ".report"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + end)
        return outcome


def _outcome(plan: Plan, told: bytes, code: int, errors: str) -> Outcome:
    """Return what came of a run that ended by itself."""
    if told:
        kind, what, key, checked = json.loads(told)
        return Outcome(plan, kind, what, key, checked=checked)
    if code < 0:
        return Outcome(plan, "death", f"the program was killed by {signal.Signals(-code).name}")
    return Outcome(plan, "failure", f"the program left with exit code {code}: {last_line(errors)}")


def _trial(pipe: int, options: argparse.Namespace, plan: Plan, path: str) -> None:
    """Run the program in this process, which is there for nothing else, and tell what came of it."""
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, f"{path}.out", _NEW), (2, f"{path}.err", _NEW)):
        os.dup2(os.open(name, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    os.environ["PYDSM_SCHEDULE"] = str(plan)
    os.environ[REPORT] = f"{path}.report"
    verdict: tuple[str, str, str] = ("ok", "", "")
    try:
        run_program(options)
    except SystemExit as request:
        code = request.code
        if code not in (None, 0):
            verdict = "failure", f"the program left with {code!r}", ""
    except BaseException as error:
        verdict = of_error(error)
        sys.excepthook(type(error), error, error.__traceback__)
    atexit._run_exitfuncs()
    verdict = of_races() or verdict
    text = json.dumps([*(part[: _PIPE // 16] for part in verdict), was_checked()])
    os.write(pipe, text.encode())


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _written(file: str) -> str:
    """Return the beginning of what a run has written; nothing if it was ended before it began."""
    with contextlib.suppress(FileNotFoundError), open(file, errors="replace") as content:
        return content.read(_KEPT)
    return ""


def _report(path: str) -> list[dict[str, Any]]:
    """Return what the schedules of a program's teams told of themselves."""
    with contextlib.suppress(OSError, ValueError), open(f"{path}.report") as file:
        return [json.loads(line) for line in file]
    return []


def _who_runs(path: str) -> tuple[int | None, int]:
    """Return the rank and the pid of the worker that has the turn in the last team that ran."""
    for line in reversed(_report(path)):
        if "namespace" in line:
            with contextlib.suppress(OSError):
                board = Board.attach(line["namespace"])
                turn = board.words.load(Word.TURN)
                if 0 < turn <= board.size:
                    return turn - 1, board.words.load(place(turn - 1, Rank.PID))
            break
    return None, 0


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def _where(errors: str) -> str:
    """Return where a worker was that was asked for its last words."""
    lines = [line.strip() for line in errors.partition("most recent call first")[2].splitlines()]
    places = [line for line in lines if line.startswith('File "')]
    return f"; it was in {places[0].removeprefix('File ')}" if places else ""
