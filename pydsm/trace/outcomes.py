"""How the workers of a run ended, in sentences: who raised what, who was told to stop, who died, who returned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from pydsm.trace.events import Event, Run

__all__ = ["endings"]

_MOST_RUNS: Final = 5


def endings(events: Iterable[Event], runs: Sequence[Run]) -> list[str]:
    """Return sentences about the runs that did not end well; none if all workers always returned."""
    raised: dict[int, dict[int, str]] = defaultdict(dict)
    others: dict[tuple[int, str], list[int]] = defaultdict(list)
    for event in events:
        if event.kind == "run" and event.outcome == "failed":
            raised[event.run][event.rank] = event.because or "an error"
        elif event.kind == "death" or (event.kind == "run" and event.outcome in ("", "stopped")):
            others[event.run, event.outcome or event.kind].append(event.rank)
    bad = sorted({*raised, *(run for run, how in others if how != "run")})
    told = [
        (f"Run {run + 1}: " if len(runs) > 1 else "") + sentence
        for run in bad[:_MOST_RUNS]
        for sentence in _sentences(raised[run], *(sorted(others[run, how]) for how in ("death", "stopped", "run")))
    ]
    more = len(bad) - _MOST_RUNS
    return told + ([f"{more} more {'run' if more == 1 else 'runs'} did not end well."] if more > 0 else [])


def _sentences(
    raised: dict[int, str], died: Sequence[int], stopped: Sequence[int], returned: Sequence[int]
) -> list[str]:
    deadlock = any(error.startswith("DeadlockError") for error in raised.values())
    found = ["Deadlock: workers waited for each other in a circle, and none could go on."] if deadlock else []
    found += [f"Worker {rank} raised {error}" for rank, error in sorted(raised.items())]
    if died:
        found.append(
            f"{_names(died)} did not live to the end: what was being done then is drawn "
            "up to the moment when that was noticed."
        )
    if stopped:
        why = "because another one failed" if raised or died else "by a signal (SIGTERM)"
        found.append(f"{_names(stopped)} {'was' if len(stopped) == 1 else 'were'} told to stop, {why}.")
    return found + ([f"{_names(returned)} returned."] if returned else [])


def _names(ranks: Sequence[int]) -> str:
    if len(ranks) == 1:
        return f"Worker {ranks[0]}"
    return f"Workers {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"
