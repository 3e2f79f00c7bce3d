"""``pydsm explore``: run a program under many schedules, and say which seeds go wrong."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Final

from pydsm.cli.outcomes import Finding, Outcome, findings_of
from pydsm.cli.program import add_program, has_program
from pydsm.cli.trials import Trials
from pydsm.control.plan import STRATEGIES, Plan
from pydsm.instruments import MEMORIES
from pydsm.ipc import catalog
from pydsm.ipc.cpus import available_cpus

__all__ = ["add"]

_WIDTH: Final = 80
_INTERRUPTED: Final = 130
_MOST_OUTPUTS: Final = 5
_SHOWN: Final = 60  # characters of what right runs print


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "explore",
        help="run a program under many controlled schedules, and find those in which it goes wrong",
        description="Run a program once for each seed, its workers one at a time in an order that the seed decides "
        "(docs/schedules.md). Races (with --check), deadlocks, failures, hangs and deaths are counted, each with the "
        "command that replays it. The exit code is 1 if anything was found.",
    )
    parser.add_argument("--seeds", type=_positive, default=100, metavar="N", help="how many seeds (100)")
    parser.add_argument("--start", type=int, default=0, metavar="SEED", help="the first seed (0)")
    parser.add_argument("--strategy", choices=STRATEGIES, default="random", help="who goes on (random)")
    parser.add_argument("--depth", type=_positive, default=3, metavar="D", help="depth of bugs that pct looks for (3)")
    parser.add_argument("--steps", type=_positive, metavar="K", help="steps of a run for pct; a first run counts them")
    parser.add_argument("--check", metavar="MODE", help="look for data races too, as PYDSM_RACE=MODE")
    parser.add_argument("--memory", choices=MEMORIES, help="memory of a team that names none")
    parser.add_argument("-n", "--workers", type=_positive, metavar="N", help="workers of a team that names no number")
    parser.add_argument("--jobs", type=_positive, metavar="N", help="runs at a time (one for each cpu)")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds until a run hangs (30)")
    parser.add_argument("--first", action="store_true", help="stop at the first finding")
    parser.add_argument("--strict", action="store_true", help="right runs that print different things are a finding")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_program(parser)
    parser.set_defaults(command=_explore)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _explore(options: argparse.Namespace) -> int:
    if not has_program(options):
        return 2
    os.environ.update(_variables(options))
    began, outcomes, is_cut = time.monotonic(), [], False
    folder = tempfile.mkdtemp(prefix="pydsm-explore-")  # a TemporaryDirectory would go with the first run's process
    try:
        trials = Trials(options, folder, options.jobs or available_cpus(), options.timeout)
        plans = list(_plans(options, trials))
        try:
            for outcome in _until_found(options, trials.run(plans), len(plans)):
                outcomes.append(outcome)
        except KeyboardInterrupt:
            is_cut = True
        findings = findings_of(outcomes)
        if not is_cut:
            _confirm(trials, findings)
    finally:
        shutil.rmtree(folder)
        catalog.reclaim()  # what a killed program left
    bad = [finding for finding in findings if finding.kind != "ok"]
    if options.json:
        print(json.dumps(_as_json(options, outcomes, findings), indent=2))
    else:
        _show(options, outcomes, findings, time.monotonic() - began)
    if is_cut:
        return _INTERRUPTED
    return 1 if bad or (options.strict and len(findings) > 1) else 0


def _variables(options: argparse.Namespace) -> dict[str, str]:
    """Return the environment that the options stand for."""
    asked = {"PYDSM_RACE": options.check, "PYDSM_MEMORY": options.memory, "PYDSM_WORKERS": options.workers}
    return {name: str(value) for name, value in asked.items() if value is not None}


def _plans(options: argparse.Namespace, trials: Trials) -> Iterator[Plan]:
    seeds = range(options.start, options.start + options.seeds)
    plan = Plan.read(f"seed={seeds[0]}")
    if options.strategy != "random":
        steps = options.steps or max(1, next(trials.run([plan])).steps)
        plan = Plan.read(f"seed={seeds[0]} strategy={options.strategy} depth={options.depth} steps={steps}")
    for seed in seeds:
        yield dataclasses.replace(plan, seed=seed)


def _until_found(options: argparse.Namespace, outcomes: Generator[Outcome], count: int) -> Iterator[Outcome]:
    with contextlib.closing(outcomes), _bar(count) as advance:
        for outcome in outcomes:
            advance()
            yield outcome
            if options.first and outcome.kind != "ok":
                return


@contextlib.contextmanager
def _bar(count: int) -> Iterator[Any]:
    """Show on a terminal how many runs are done, if tqdm is there."""
    with contextlib.suppress(ImportError):
        if sys.stderr.isatty():
            from tqdm.auto import tqdm

            tqdm.monitor_interval = 0  # no thread of its own: this process forks
            with tqdm(total=count, unit="run", leave=False) as bar:
                yield bar.update
            return
    yield lambda: None


def _confirm(trials: Trials, findings: Sequence[Finding]) -> None:
    """Try whether the first run of each finding does the same once more."""
    outputs = [finding for finding in findings if finding.kind == "ok"]
    wanted = [finding for finding in findings if finding.kind not in ("ok", "hang")]
    wanted += outputs[:_MOST_OUTPUTS] if len(outputs) > 1 else []
    again = {outcome.plan: outcome for outcome in trials.run([finding.first.plan for finding in wanted])}
    for finding in wanted:
        finding.replays = finding.first.same_as(again[finding.first.plan])


def _replay(options: argparse.Namespace, outcome: Outcome) -> str:
    """Return the command that does it again."""
    settings = {"PYDSM_SCHEDULE": str(outcome.plan), **_variables(options)}
    words = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return " ".join([*words, shlex.join(["python", options.program, *options.args])])


def _as_json(options: argparse.Namespace, outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "program": [options.program, *options.args],
        "strategy": options.strategy,
        "runs": len(outcomes),
        "findings": [
            {
                "kind": finding.kind,
                "what": finding.what or finding.first.output,
                "seeds": [outcome.plan.seed for outcome in finding.runs],
                "replay": _replay(options, finding.first),
                "replays": finding.replays,
            }
            for finding in findings
        ],
    }


def _show(
    options: argparse.Namespace, outcomes: Sequence[Outcome], findings: Sequence[Finding], seconds: float
) -> None:
    steps = [outcome.steps for outcome in outcomes if outcome.steps]
    span = f", {min(steps)} to {max(steps)} steps" if steps else ""
    print(f"{len(outcomes)} runs of {options.program} ({options.strategy}{span}) in {seconds:.1f} s\n")
    print("kind      runs  first seed  what")
    outputs = [finding for finding in findings if finding.kind == "ok"]
    shown = [finding for finding in findings if finding.kind != "ok"] + outputs[:_MOST_OUTPUTS]
    for finding in shown:
        head = f"{finding.kind:<8}{len(finding.runs):>6}{finding.first.plan.seed:>12}  "
        for line in _wrapped(_described(finding, several=len(outputs) > 1)):
            print((head + line).rstrip())
            head = " " * len(head)
        if finding.kind != "ok":
            print(f"{head}replay: {_replay(options, finding.first)}")
    for line in _notes(outcomes, findings, outputs):
        print("\n" + textwrap.fill(line, _WIDTH))


def _described(finding: Finding, *, several: bool) -> str:
    if finding.kind != "ok":
        return finding.what
    text = finding.first.output
    return f"prints {text[:_SHOWN]!r}{'...' if len(text) > _SHOWN else ''}" if several else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 28, break_long_words=False, break_on_hyphens=False) or [""]


def _notes(outcomes: Sequence[Outcome], findings: Sequence[Finding], outputs: Sequence[Finding]) -> Iterable[str]:
    if not any(outcome.scheduled for outcome in outcomes):
        yield (
            "No team of the program ran under these schedules: it makes none, fails before, or names a schedule itself."
        )
    if len(outputs) > 1:
        steady = all(finding.replays is not False for finding in outputs)
        yield (
            f"Right runs print {len(outputs)} different things: the results depend on the schedule."
            if steady
            else f"Right runs print {len(outputs)} different things, and the same seed does not print the same again: "
            "they depend on more than the schedule."
        )
    for finding in findings:
        if finding.kind != "ok" and finding.replays is False:
            yield (
                f"Seed {finding.first.plan.seed} did not do the same again: what the program does depends on more than "
                "the schedule (see docs/schedules.md)."
            )
