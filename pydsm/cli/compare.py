"""``pydsm compare``: run a program on every memory, and say where it comes out differently.

A difference is laid to a memory only if it comes again in a second run there and not in a third run
on coherent memory.  Under a controlled schedule, runs under the same seed are compared.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, Final

from pydsm.cli.arguments import from_one, from_zero, seconds
from pydsm.cli.differences import Difference, Trial, differences, unstable
from pydsm.cli.processes import run_trial
from pydsm.cli.program import add_program, has_program
from pydsm.instruments import MEMORIES

__all__ = ["add"]

_WIDTH: Final = 80
_SHOWN: Final = 6  # values of a difference
_LAST_LINES: Final = 4
_LEAST_SECONDS: Final = 10.0
_PATIENCE: Final = 20  # times what the program took before
_BASE: Final = "coherent"
_INTERRUPTED: Final = 130
_NOTHING: Final = 2  # there was nothing to compare
_OF_ORDER: Final = re.compile(r"\b(DeadlockError|TimeoutError)\b")


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "compare",
        help="run a program on every memory, and say where it comes out differently",
        description="Run a program on coherent memory, twice, and then on the teaching memories, which show a worker "
        "no write before the contract demands it (docs/memory-model.md). A program that keeps the rule gives the same "
        "on all of them. Printed lines, exit codes, the workers' results and the arrays at the end of each run are "
        "compared, whatever wrote them: NumPy, numba or C. What differs between runs on coherent memory already is "
        "told apart, and what differs on a memory is tried there once more. The exit code is 1 if anything differs "
        "that coherent memory did not show, and 2 if there was nothing to compare.",
    )
    weaker = ",".join(MEMORIES[1:])
    parser.add_argument("--memory", default=weaker, metavar="NAMES", help=f"the memories to compare with ({weaker})")
    parser.add_argument(
        "--seeds",
        type=from_zero,
        default=0,
        metavar="N",
        help="also under N controlled schedules each, with coherent memory under the same one",
    )
    parser.add_argument("-n", "--workers", type=from_one, metavar="N", help="workers of a team that names no number")
    parser.add_argument(
        "--timeout", type=seconds, metavar="S", help="seconds a run may take (20 times what the first did)"
    )
    add_program(parser)
    parser.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> int:
    if not has_program(options):
        return 2
    memories = options.memory.split(",")
    for memory in memories:
        if memory not in MEMORIES[1:]:
            known = " or ".join(map(repr, MEMORIES[1:]))
            print(f"pydsm: the memory to compare {_BASE!r} with is {known}, not {memory!r}", file=sys.stderr)
            return 2
    try:
        return _Comparison(options, memories).code()
    except KeyboardInterrupt:  # the program that ran was ended with its workers on the way here
        print("interrupted")
        return _INTERRUPTED


class _Comparison:
    """The runs of a program, and what is said of them.

    Parameters
    ----------
    options : argparse.Namespace
    memories : sequence of str
        What to compare with.
    """

    def __init__(self, options: argparse.Namespace, memories: Sequence[str]) -> None:
        self._options, self._memories = options, memories
        self._patience: float | None = options.timeout
        self._compared = self._found = 0

    def code(self) -> int:
        """Run it all; return the exit code."""
        first = self._base(None)
        if first is None:
            return _NOTHING
        one, other = first
        if not one.runs and not other.runs:
            print("The program ran no team, so there is nothing to compare.")
            return _NOTHING
        self._patience = self._options.timeout or max(_LEAST_SECONDS, _PATIENCE * one.seconds)
        for memory in self._memories:
            self._look(memory, None, one, other)
        for seed in map(str, range(self._options.seeds)):
            if (pair := self._base(seed, first)) is not None:
                for memory in self._memories:
                    self._look(memory, seed, *pair)
        if not self._compared:
            print("Nothing was compared: every team names its memory.  Leave its memory= out.")
            return _NOTHING
        if self._found:
            return 1
        return _NOTHING if one.code else 0

    def _run(self, memory: str, seed: str | None) -> Trial:
        return run_trial(self._options, memory, seed, self._patience)

    def _base(self, seed: str | None, free: tuple[Trial, Trial] | None = None) -> tuple[Trial, Trial] | None:
        """Run it twice on coherent memory; None if it does not end there."""
        one, other = self._run(_BASE, seed), self._run(_BASE, seed)
        if one.code is None or other.code is None:
            patience = self._patience
            within = f" in {patience:g} s" if patience else ""
            print(f"{one.name}: did not end{within}, so there is nothing to compare with")
            return None
        print(f"{one.name}, twice: {_said(one)}")
        if free and (what := [difference.what for difference in differences(*free, one)]):
            print(_filled(f"not as without a schedule, which is for the order to answer for: {', '.join(what)}"))
        _show_unstable(unstable(one, other))
        if one.code and not free:
            _show_last(one)
        return one, other

    def _look(self, memory: str, seed: str | None, one: Trial, other: Trial) -> None:
        """Run it on a memory, and once more if it comes out differently."""
        now = self._run(memory, seed)
        if not _had(memory, one, now):
            had = " and ".join(sorted({run.memory for run in now.runs.values()}))
            print(f"{now.name}: nothing to compare, its teams name their memory ({had})")
            return
        self._compared += 1
        wrong = list(differences(one, other, now))
        print(f"{now.name}: {_said(now) if wrong else 'the same'}{_deviating(now, memory)}")
        if not wrong:
            return
        again = {difference.what for difference in differences(one, other, self._run(memory, seed))}
        third = {difference.what for difference in differences(one, other, self._run(_BASE, seed))}
        self._found += any(difference.what not in third for difference in wrong)
        for difference in wrong:
            _show(difference, now)
            if difference.what in third:
                print(f"    differs from run to run: a third {_BASE} run was not the same either")
            elif difference.what not in again:
                print("    differs from run to run: a second run here was the same")
        if now.errors.strip() and now.code not in (None, one.code):
            print(f"  its last words: {_cut(now.errors.strip().splitlines()[-1], _WIDTH - 20)}")
        if now.code is None or _OF_ORDER.search(now.errors):
            print("  The order of the workers may be the cause of this, rather than the memory.")


# -- showing ---------------------------------------------------------------------


def _said(trial: Trial) -> str:
    if trial.code is None:
        return "did not end"
    lines, runs = len(trial.output), len(trial.runs)
    code = f", exit code {trial.code}" if trial.code else ""
    return f"{lines} line{'s' * (lines != 1)} of output, {runs} run{'s' * (runs != 1)} of teams{code}"


def _had(memory: str, one: Trial, now: Trial) -> bool:
    """Say whether any team ran on this memory because it was asked to, and not because it names it."""
    pairs = [(one.runs.get(numbers), run) for numbers, run in now.runs.items()]
    return not pairs or any(
        run.memory == memory and (before is None or before.memory != memory) for before, run in pairs
    )


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


def _show_last(trial: Trial) -> None:
    for line in trial.errors.rstrip().splitlines()[-_LAST_LINES:]:
        print(f"  | {line if len(line) <= _WIDTH - 4 else _cut(line, _WIDTH - 4)}")


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _cut(text: str, room: int) -> str:
    """Return the beginning of a text: whole words, if there is more than one."""
    line = " ".join(text.split())
    if len(line) <= room:
        return line
    begun = line[: room - 2].rpartition(" ")[0]
    return f"{begun} ..."[:room] if len(begun) > room // 2 else line[: room - 3] + "..."
