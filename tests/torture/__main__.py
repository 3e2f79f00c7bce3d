"""``python -m tests.torture``: inject faults, by the thousand if asked to, and account for everything."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from tests.torture.catalog import FAULTS
from tests.torture.figures import Figures
from tests.torture.peers import CASES, Outcome, run_cases
from tests.torture.processes import sweep_temporaries
from tests.torture.settings import Settings

_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 170)
    found: list[Figures] = []
    peers: list[Outcome] = []
    tqdm.monitor_interval = 0  # no thread beside the one that forks
    began = time.monotonic()
    with sweep_temporaries() as temporaries:
        try:
            for name in options.faults:
                found.append(_inject(name, options))
        except KeyboardInterrupt:
            console.print("interrupted: these are the faults that were through")
        if options.peers:
            peers = list(tqdm(run_cases(), "peers", len(CASES), unit="case", leave=False))
    if found:
        console.print(_table(found))
    if peers:
        console.print(_peer_table(peers))
    for figures in found:
        for problem in figures.problems[:_SHOWN]:
            console.print(f"{figures.fault}: {problem}", style="red", markup=False, highlight=False)
        if len(figures.problems) > _SHOWN:
            console.print(f"{figures.fault}: {len(figures.problems) - _SHOWN} more problems are in --json FILE")
        console.print(f"{figures.fault}: {_notes(figures)}", style="dim", markup=False, highlight=False)
    console.print(
        f"{time.monotonic() - began:.0f} s; seed {options.seed}; {temporaries()} temporaries of the C library"
    )
    if options.json:
        facts = {
            "seed": options.seed,
            "faults": [figures.as_json() for figures in found],
            "peers": [outcome.as_json() for outcome in peers],
            "c_library_temporaries": temporaries(),
        }
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
    return 1 if any(figures.wrong() for figures in found) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=1000, metavar="N", help="how many deaths `kills` has; the others in proportion"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="how long those faults last that are no event"
    )
    parser.add_argument(
        "--faults",
        type=_names,
        default=list(FAULTS),
        metavar="A,B,...",
        help=f"some of: {', '.join(FAULTS)}; all unless given, none with an empty list",
    )
    parser.add_argument("--seed", type=int, metavar="K", help="of all random choices but the scheduler's")
    parser.add_argument("--patience", type=float, default=5.0, metavar="S", help="a longer wait is a hang")
    parser.add_argument("--peers", action="store_true", help="do the same to other locks, barriers and pools")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(3), "little")
    return options


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
    return names


def _inject(name: str, options: argparse.Namespace) -> Figures:
    fault = FAULTS[name]
    count = fault.count_for(options.kills)
    began = time.monotonic()
    with tqdm(total=count, desc=f"{name:12}", unit=fault.unit, leave=False) as bar:
        settings = Settings(count, options.seconds, options.seed, options.patience, lambda more: _advance(bar, more))
        try:
            figures = fault.inject(settings)
        except Exception:  # the other faults still have something to say
            figures = Figures(name, problems=[f"it broke: {traceback.format_exc()}"])
    figures.seconds = time.monotonic() - began
    return figures


def _advance(bar: tqdm, more: int) -> None:
    bar.update(more)


def _table(found: Sequence[Figures]) -> Table:
    table = Table(title="faults injected, and what went wrong for them", title_justify="left")
    table.add_column("fault")
    for name in (
        "injected",
        "operations",
        "lost",
        "invented",
        "torn",
        "violations",
        "hangs",
        "names left",
        "problems",
        "median ms",
        "p99 ms",
        "max ms",
        "seconds",
    ):
        table.add_column(name, justify="right")
    for figures in found:
        counts = (figures.lost, figures.invented, figures.torn, figures.violations, figures.hangs, figures.names_left)
        times = (figures.median, figures.p99, figures.worst)
        table.add_row(
            figures.fault,
            f"{figures.injected:,}",
            f"{figures.operations:,}" if figures.operations else "-",
            *(f"[bold red]{count:,}[/]" if count else "0" for count in (*counts, len(figures.problems))),
            *("-" if math.isnan(value) else f"{value:.1f}" for value in times),
            f"{figures.seconds:.1f}",
        )
    return table


def _peer_table(peers: Sequence[Outcome]) -> Table:
    table = Table(title="the same deaths elsewhere", title_justify="left")
    for name in ("what dies", "peer", "what the others see"):
        table.add_column(name, overflow="fold")
    table.add_column("after ms", justify="right")
    for outcome in peers:
        after = "-" if outcome.milliseconds is None else f"{outcome.milliseconds:.0f}"
        table.add_row(outcome.fault, outcome.peer, outcome.outcome, after)
    return table


def _notes(figures: Figures) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(figures.notes.items()) if count) or "nothing to add"


if __name__ == "__main__":
    sys.exit(main())
