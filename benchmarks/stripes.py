"""How many lock words an array should have: what more of them give, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.contention import ROWS, UPDATES, region_loop, run_of
from benchmarks.figure import Figure, Series
from benchmarks.measure import Spread, Table, interleave, spread, statement
from benchmarks.settings import WORKERS, Settings
from pydsm import Team

__all__ = ["TITLE", "rows"]

TITLE = "Stripes"
_COUNTS = (1, 4, 16, 64, 256, 1024, 4096, ROWS)


def rows(settings: Settings) -> Iterator[Figure | Table]:
    """Yield one plot and one table: a line for each number of stripes."""
    columns = []
    for size in WORKERS:
        settings.say(f"{size} workers")
        columns.append(_updates(size, settings))
    yield Figure(
        "stripes",
        f"A lock for each of {ROWS} rows instead of one for all: "
        + ", ".join(
            f"{each[-1].median / each[0].median:.1f} times the updates by {size} workers"
            for size, each in zip(WORKERS, columns, strict=True)
        ),
        "stripes of the array (lock words)",
        "updates of random rows in a second",
        "rate",
        [Series(f"{size} workers", _COUNTS, each, "pydsm") for size, each in zip(WORKERS, columns, strict=True)],
    )
    settings.say("the whole array")
    columns.append(_whole(settings))
    yield Table(
        f"{ROWS} rows; more stripes let more workers in at once, and make a region of all rows dearer",
        [
            ("stripes", None),
            *[(f"updates of random rows, {size} workers", "rate") for size in WORKERS],
            ("with A.locked(): pass, alone", "time"),
        ],
        [[str(count), *cells] for count, *cells in zip(_COUNTS, *columns, strict=True)],
    )


def _updates(size: int, settings: Settings) -> list[Spread]:
    with Team(size) as team:
        arrays = [team.array(f"A{count}", ROWS, int, stripes=count) for count in _COUNTS]
        samples = interleave(
            {str(A.name): run_of(team, A, partial(region_loop, A)) for A in arrays},
            rounds=settings.team_rounds,
            seconds=settings.team_seconds,
        )
    return [spread([size * UPDATES / each for each in column]) for column in samples.values()]


def _whole(settings: Settings) -> list[Spread]:
    with Team(1) as team:
        arrays = [team.array(f"A{count}", ROWS, int, stripes=count) for count in _COUNTS]
        samples = interleave(
            {str(A.name): statement("with A.locked(): pass", A=A) for A in arrays},
            rounds=settings.rounds,
            seconds=settings.seconds,
        )
    return [spread(column) for column in samples.values()]
