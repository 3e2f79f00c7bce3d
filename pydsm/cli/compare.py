"""``pydsm compare``: run a program on every memory, and say where it comes out differently."""

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

from pydsm.cli.differences import Difference, Trial, differences, unstable
from pydsm.cli.program import add_program, has_program
from pydsm.instruments import MEMORIES
from pydsm.ipc import catalog
from pydsm.snapshot import read_runs

__all__ = ["add"]

_WIDTH: Final = 80
_SHOWN: Final = 6  # values of a difference
_LEAST_SECONDS: Final = 10.0
_LAST_WORDS_SECONDS: Final = 3.0
_PATIENCE: Final = 20  # times what the program took before
_BASE: Final = "coherent"


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "compare",
        help="run a program on every memory, and say where it comes out differently",
        description="Run a program on coherent memory, twice, and then on the teaching memories, which show a worker "
        "no write before the contract demands it (docs/memory-model.md). A program that keeps the rule gives the same "
        "on all of them. Printed lines, exit codes, the workers' results and the arrays at the end of each run are "
        "compared, whatever wrote them: NumPy, numba or C. What differs between the first two runs already is told "
        "apart. The exit code is 1 if anything else differs.",
    )
    weaker = ",".join(MEMORIES[1:])
    parser.add_argument("--memory", default=weaker, metavar="NAMES", help=f"the memories to compare with ({weaker})")
    parser.add_argument("--seeds", type=_count, default=0, metavar="N", help="also under N controlled schedules each")
    parser.add_argument("-n", "--workers", type=_count, metavar="N", help="workers of a team that names no number")
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="seconds a run may take (20 times what the first did)"
    )
    add_program(parser)
    parser.set_defaults(command=_compare)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1, not {text!r}")
    return int(text)


def _compare(options: argparse.Namespace) -> int:
    if not has_program(options):
        return 2
    memories = options.memory.split(",")
    for memory in memories:
        if memory not in MEMORIES:
            print(f"pydsm: memory is one of {', '.join(map(repr, MEMORIES))}, not {memory!r}", file=sys.stderr)
            return 2
    schedules = [None, *map(str, range(options.seeds))]
    one, other = (_run(options, _BASE, None, options.timeout) for _ in range(2))
    if one.code is None or other.code is None:
        print(f"{_BASE}: did not end in {options.timeout or _LEAST_SECONDS:g} s, so there is nothing to compare with")
        return 1
    patience = options.timeout or max(_LEAST_SECONDS, _PATIENCE * one.seconds)
    print(f"{_BASE}, twice: {_said(one)}")
    _show_unstable(unstable(one, other))
    found = 0
    for memory, schedule in [(memory, schedule) for schedule in schedules for memory in (_BASE, *memories)]:
        if memory == _BASE and schedule is None:
            continue
        now = _run(options, memory, schedule, patience)
        wrong = list(differences(one, other, now))
        found += bool(wrong)
        print(f"{now.name}: {_said(now) if wrong else 'the same'}{_deviating(now, memory)}")
        for difference in wrong:
            _show(difference, now)
        if wrong and now.errors.strip() and now.code not in (None, one.code):
            print(f"  its last words: {now.errors.strip().splitlines()[-1][: _WIDTH - 20]}")
    return 1 if found else 0


# -- running ---------------------------------------------------------------------


def _run(options: argparse.Namespace, memory: str, schedule: str | None, timeout: float | None) -> Trial:
    """Run the program in processes of its own."""
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
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # as Ctrl-C, so that it tidies up
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    catalog.reclaim()


# -- showing ---------------------------------------------------------------------


def _said(trial: Trial) -> str:
    if trial.code is None:
        return "did not end"
    lines, runs = len(trial.output), len(trial.runs)
    code = f", exit code {trial.code}" if trial.code else ""
    return f"{lines} line{'s' * (lines != 1)} of output, {runs} run{'s' * (runs != 1)} of teams{code}"


def _deviating(trial: Trial, memory: str) -> str:
    """Say so if teams had another memory than they were to have."""
    others = sorted({run.memory for run in trial.runs.values()} - {memory})
    return f", but teams that name their memory had {' and '.join(others)}" if others else ""


def _show_unstable(found: Sequence[str]) -> None:
    if found:
        print("  not the same both times, which no memory is to blame for:")
        for what in dict.fromkeys(found):
            print(f"    {what}")


def _show(difference: Difference, now: Trial) -> None:
    print(f"  {difference.what}" + (f": {difference.where}" if difference.where else ""))
    if not difference.values:
        return
    rows = [("", _BASE, now.name.partition(",")[0]), *difference.values[:_SHOWN]]
    width = max(len(place) for place, _, _ in rows)
    room = max(8, (_WIDTH - 6 - width - 4) // 2)
    column = min(room, max(len(before) for _, before, _ in rows))
    for place, before, after in rows:
        print(f"      {place:<{width}}  {_cut(before, column):<{column}}  {_cut(after, room)}".rstrip())
    left = len(difference.values) - _SHOWN
    if left > 0:
        print(f"      ... and {left}{' or more' * (len(difference.values) == 100)} others")


def _cut(text: str, room: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= room else line[: room - 3] + "..."
