"""What a run of a program came to, and which runs came to the same."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydsm.control.plan import Plan
from pydsm.errors import DeadlockError, WorkerDiedError, WorkerError

__all__ = ["KINDS", "Finding", "Outcome", "findings_of", "last_line", "of_error", "of_races"]

KINDS: Final = ("race", "deadlock", "failure", "hang", "death", "ok")
_RANK: Final = re.compile(r"\b(?:rank|worker) \d+ ?")
_PIDS: Final = re.compile(r"\(pid \d+\)")


@dataclass(slots=True)
class Outcome:
    """What one run came to."""

    plan: Plan
    kind: str
    what: str
    """One line for people."""
    key: str = ""
    """Equal for runs that found the same, if that is not what `what` says."""
    output: str = ""
    errors: str = ""
    steps: int = 0
    digest: str = ""
    scheduled: bool = False
    """Whether a team of the program ran as the plan says."""

    def same_as(self, other: Outcome) -> bool:
        """Say whether another run did the same, as far as one can tell."""
        return (self.kind, self.what, self.output, self.digest) == (
            other.kind,
            other.what,
            other.output,
            other.digest,
        )


@dataclass(slots=True)
class Finding:
    """Runs that came to the same."""

    kind: str
    what: str
    runs: list[Outcome] = field(default_factory=list)
    replays: bool | None = None
    """Whether the first one did the same a second time; None: it was not tried."""

    @property
    def first(self) -> Outcome:
        """The run of the lowest seed."""
        return min(self.runs, key=lambda outcome: outcome.plan.seed)


def of_error(error: BaseException) -> tuple[str, str, str]:
    """Return kind, line and key of what ended a program."""
    summary = "".join(traceback.format_exception_only(type(error), error)).strip()
    what = summary.split("\n", 1)[0]
    if isinstance(error, WorkerError):
        what = str(error).split("\n", 1)[0]
    cause = error.__cause__ if isinstance(error, WorkerError) else error
    if isinstance(cause, DeadlockError):
        phrases = str(cause).partition(": ")[2].split("; ")
        return "deadlock", what, " | ".join(sorted(_RANK.sub("", phrase) for phrase in phrases))
    kind = "death" if isinstance(error, WorkerDiedError) else "failure"
    return kind, what, _PIDS.sub("", _RANK.sub("", what))


def of_races() -> tuple[str, str, str] | None:
    """Return the same of the races that teams of this process found, if any."""
    known = sys.modules.get("pydsm.races.summary")
    races = known.found() if known is not None else ()
    if not races:
        return None
    told = sorted({_told_of(*race.key) for race in races})
    return "race", told[0] + (f" (and {len(told) - 1} more)" if len(told) > 1 else ""), " | ".join(told)


def _told_of(array: str, possible: bool, places: tuple[tuple[str, int, str], ...]) -> str:
    lines = " and ".join(f"{file.rpartition('/')[2]}:{line} in {function}" for file, line, function in places)
    return f"{'possible ' if possible else ''}data race on array {array!r}: {lines}"


def findings_of(outcomes: Iterable[Outcome]) -> list[Finding]:
    """Return what was found, the worst kind first and the most frequent first; right runs by what they print."""
    found: dict[tuple[str, str], Finding] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.plan.seed):
        key = outcome.output if outcome.kind == "ok" else outcome.key or outcome.what
        finding = found.setdefault((outcome.kind, key), Finding(outcome.kind, outcome.what))
        finding.runs.append(outcome)
    return sorted(found.values(), key=lambda finding: (KINDS.index(finding.kind), -len(finding.runs)))


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["it printed no error"])[-1]
