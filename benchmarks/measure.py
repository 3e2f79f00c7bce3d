"""Interleaved, paired measurements.

A machine that does other things as well is slow for a second and fast for the next, so two
numbers measured one after the other say little.  Here pydsm and its peers take turns,
A B A B, each pair of neighbours gives one ratio, and what counts is the median of those.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Comparison", "Cost", "Run", "Spread", "Table", "Target", "compare", "interleave", "spread", "statement"]

Run = Callable[[int], float]
"""Repeats something so often and returns the seconds it took, set-up left out."""

Cost = Literal["time", "rate", "bytes", "bandwidth", "ratio", "share", "count"]
"""What a number counts, which decides its unit; only of rates, bandwidths and ratios is more better."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and the quartiles around it."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Target:
    """What pydsm's value divided by its peer's should be."""

    limit: float
    at_least: bool = False

    def reached(self, ratio: float) -> bool:
        """Say whether the ratio is good enough."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """pydsm beside one peer: one line of the report.

    Attributes
    ----------
    ours, theirs : sequence of float
        Seconds for one operation, or operations per second; equal positions are one pair.
    """

    what: str
    beside: str
    cost: Cost
    ours: Sequence[float]
    theirs: Sequence[float]
    target: Target | None = None

    @property
    def ratio(self) -> Spread:
        """Divide pydsm's values by the peer's, pair by pair."""
        return spread([a / b for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def reached(self) -> bool | None:
        """Whether the median ratio reaches the target; None without one."""
        return None if self.target is None else self.target.reached(self.ratio.median)

    @property
    def is_clear(self) -> bool:
        """Whether both quartiles of the ratio say the same of the target."""
        ratio = self.ratio
        return self.target is None or self.target.reached(ratio.low) == self.target.reached(ratio.high)


@dataclass(frozen=True, slots=True)
class Table:
    """Measurements that have no peer: cells are spreads of a cost, or text."""

    what: str
    columns: Sequence[tuple[str, Cost | None]]
    lines: Sequence[Sequence[str | Spread]]


def spread(samples: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0])
    return Spread(*statistics.quantiles(samples, n=4, method="inclusive"))


def interleave(runs: Mapping[str, Run], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return each run's samples, in seconds for one repetition, all taken in turns.

    Every run repeats as often as fills about `seconds`, and at least once.  Every second
    round goes backwards, so that nobody always follows the same neighbour.
    """
    counts = {name: _enough(run, seconds) for name, run in runs.items()}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name in list(runs)[:: -1 if turn % 2 else 1]:
            samples[name].append(runs[name](counts[name]) / counts[name])
    return samples


def compare(
    what: str,
    ours: Run,
    theirs: Mapping[str, Run],
    *,
    rounds: int,
    seconds: float,
    target: Target | None = None,
) -> list[Comparison]:
    """Measure pydsm and its peers in turns and return one line for each peer."""
    samples = interleave({"pydsm": ours, **theirs}, rounds=rounds, seconds=seconds)
    return [Comparison(what, peer, "time", samples["pydsm"], samples[peer], target) for peer in theirs]


def statement(code: str, **names: Any) -> Run:
    """Return the run of a statement; all statements get the same loop, its cost included.

    `names` are local variables of the loop, as they would be in a user's function.
    """
    setup = "; ".join(f"{name} = _names[{name!r}]" for name in names) or "pass"
    return timeit.Timer(code, setup, globals={"_names": names}).timeit


def _enough(run: Run, seconds: float) -> int:
    """Return how often a run has to repeat to fill `seconds`; warms it up on the way."""
    count = 1
    while (elapsed := run(count)) < seconds / 8:
        count *= 2
    return max(1, round(count * seconds / elapsed))
