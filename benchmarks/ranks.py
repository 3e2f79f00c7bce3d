"""Over MPI on two hosts, beside mpi4py alone: ``python -m benchmarks.ranks``.

Two network namespaces of one machine are the hosts, so everything goes over TCP, though over no wire, and all
ranks share this machine's cpus.  On each host pydsm has a server and two workers; beside it run two ranks of mpi4py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.attempts import Note, Row, attempt, has
from benchmarks.measure import Comparison, Cost, Run, Spread, Table, Target, interleave, spread
from benchmarks.rankjobs import Pair, place
from benchmarks.settings import Settings
from tests.mpi.launchers import launcher

__all__ = ["TITLE", "missing", "rows"]

TITLE = "Over MPI: operations, 4 workers on two hosts"
_WORKERS = 4
_MB = 1 << 20
_PLAIN, _ATOMIC, _MUTEX = (
    "mpi4py: Lock, Get, Put, Unlock",
    "mpi4py: Lock, Get_accumulate, Accumulate, Unlock",
    "mpi4py.util.sync.Mutex",
)
_FIVE, _HALF, _NEARLY = Target(5, at_least=True), Target(0.5), Target(0.9, at_least=True)
_WANTED_RATE = 30_000.0

Order = tuple[Any, ...]
"""The name of an act, and what it is about."""


@dataclass(frozen=True)
class Act:
    """What pydsm does beside its peers.

    Attributes
    ----------
    amount : float
        Of what the cost counts, one repetition of all who do it: operations, or bytes.  Times count none.
    """

    what: str
    cost: Cost
    ours: Order
    peers: Mapping[str, tuple[Order, Target | None]]
    amount: float = 1.0
    rate: float | None = None
    """The rate that pydsm is to reach."""


def _all(what: str, ours: Order, peers: Mapping[str, tuple[Order, Target | None]], rate: float | None = None) -> Act:
    return Act(f"{what}, all workers", "rate", ours, peers, _WORKERS, rate)


def _bytes(name: str, verb: str, nbytes: int, text: str) -> Act:
    peer = {"mpi4py: Send, Recv": ((name, nbytes), _NEARLY)}
    return Act(f"A.{name} of {text} {verb} another host", "bandwidth", (name, nbytes), peer, nbytes)


ACTS = (
    _all(
        "with A.locked(i): A[i] += 1, random rows",
        ("locked", "random"),
        {
            _PLAIN: (("locked", "random", "plain"), _FIVE),
            _ATOMIC: (("locked", "random", "atomic"), _FIVE),
            _MUTEX: (("locked", "random", "mutex"), None),
        },
        _WANTED_RATE,
    ),
    _all(
        "with A.locked(i): A[i] += 1, one hot row",
        ("locked", "hot"),
        {
            _PLAIN: (("locked", "hot", "plain"), None),
            _ATOMIC: (("locked", "hot", "atomic"), None),
            _MUTEX: (("locked", "hot", "mutex"), None),
        },
    ),
    Act(
        "with A.locked(i): A[i] += 1, one worker, another host's row",
        "time",
        ("locked", "alone"),
        {
            _PLAIN: (("locked", "alone", "plain"), None),
            _ATOMIC: (("locked", "alone", "atomic"), None),
        },
    ),
    Act(
        "with A.locked(i): pass, one worker, another host's row",
        "time",
        ("locked", "nothing"),
        {_MUTEX: (("locked", "nothing", "mutex"), _HALF)},
    ),
    _all(
        "A.fetch_add(i, 1), one element", ("fetch_add", "all"), {"mpi4py: Fetch_and_op": (("fetch_add", "all"), None)}
    ),
    Act(
        "A.fetch_add(i, 1), one worker, another host's element",
        "time",
        ("fetch_add", "alone"),
        {"mpi4py: Fetch_and_op": (("fetch_add", "alone"), None)},
    ),
    _all("A.accumulate of 4 kB at random", ("accumulate",), {"mpi4py: Accumulate": (("accumulate",), None)}),
    Act(
        "worker.barrier(), 64 kB of arrays",
        "time",
        ("barrier", 1 << 16),
        {"mpi4py: Barrier": (("barrier", 0), None)},
    ),
    Act(
        "worker.barrier(), 64 MB of arrays, nothing written",
        "time",
        ("barrier", 64 * _MB),
        {"mpi4py: Barrier": (("barrier", 0), None)},
    ),
    Act(
        "A.fence() of 8 MB, nothing written, one worker",
        "time",
        ("fence", 0),
        {"mpi4py: Get of a word, Flush": (("fence", 0), None)},
    ),
    Act(
        "A.fence() of 8 MB, 1 MB written, one worker",
        "time",
        ("fence", _MB),
        {"mpi4py: Put of 1 MB, Flush, Get of a word, Flush": (("fence", _MB), None)},
    ),
    *(
        _bytes(name, verb, nbytes, text)
        for name, verb in (("get", "from"), ("put", "to"))
        for nbytes, text in ((8, "8 B"), (4096, "4 kB"), (_MB, "1 MB"), (64 * _MB, "64 MB"))
    ),
    Act(
        "A.get of 64 MB into new memory",
        "bandwidth",
        ("get", 64 * _MB, True, "new memory"),
        {"mpi4py: Send, Recv": (("get", 64 * _MB), None)},
        64 * _MB,
    ),
)


def missing() -> str:
    """Say what is not there to run over MPI; nothing if all is."""
    for module in ("mpi4py", "cloudpickle"):
        if not has(module):
            return f"skipped: {module} is not installed"
    return "" if launcher() else "skipped: there is no mpiexec: pip install '.[mpi]' brings MPICH"


def rows(settings: Settings) -> Iterator[Row]:
    """Yield each operation beside its peers, what a busy worker costs others, and what waiting costs."""
    if why_not := missing():
        yield Note(why_not)
        return
    with place() as here, Pair(here) as pair:
        if here.note:
            yield Note(here.note)
        for act in ACTS:
            yield from _trying(act.what, pair, settings, partial(_measure, act, pair, settings))
        yield from _trying("locks while others are busy", pair, settings, partial(_delays, pair, settings))
        yield from _trying("waiting", pair, settings, partial(_waiting, pair, settings))


def _trying(what: str, pair: Pair, settings: Settings, make: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Yield what is measured; if a job does not answer, say so and start it anew."""
    for row in attempt(what, settings, make):
        yield row
        if isinstance(row, Note) and row.is_failure:
            pair.renew()


def _measure(act: Act, pair: Pair, settings: Settings) -> Iterator[Row]:
    runs: dict[str, Run] = {"pydsm": pair.pydsm.bound(*act.ours)}
    runs |= {peer: pair.raw.bound(*order) for peer, (order, _) in act.peers.items()}
    rounds = 3 if settings.quick else 7
    samples = interleave(runs, rounds=rounds, seconds=settings.team_seconds)
    if act.cost != "time":
        samples = {name: [act.amount / each for each in taken] for name, taken in samples.items()}
    for peer, (_, target) in act.peers.items():
        yield Comparison(act.what, peer, act.cost, samples["pydsm"], samples[peer], target)
    if act.rate:
        wanted = [act.rate] * rounds
        yield Comparison(act.what, "a fixed rate", act.cost, samples["pydsm"], wanted, Target(1, at_least=True))


def _delays(pair: Pair, settings: Settings) -> Iterator[Row]:
    """Yield how long a worker of one host waits for locks whose home is the other host, where a worker is busy."""
    loads = {
        "asleep": "idle",
        "in np.sort of 8 million": "NumPy",
        "in C for a second each, with the interpreter's lock": "interpreter",
    }
    taken: dict[str, list[float]] = {name: [] for name in loads}
    for _ in range(2 if settings.quick else 4):
        for name, load in loads.items():
            taken[name] += pair.pydsm.ask(1.0 if settings.quick else 2.5, "delays", load)
    columns: list[tuple[str, Cost | None]] = [("a worker of the home is", None), ("locks", "count")]
    columns += [(name, "time") for name in ("median", "90 %", "99 %", "longest")]
    yield Table(
        "Lock, add and release of another host's row, once a millisecond, while a worker of that host is busy",
        columns,
        [[name, _one(len(each)), *map(_one, _shares(each, (0.5, 0.9, 0.99, 1)))] for name, each in taken.items()],
    )


def _shares(samples: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return below which value each share of the samples is."""
    ordered = sorted(samples)
    return [ordered[round(share * (len(ordered) - 1))] for share in shares]


def _one(value: float) -> Spread:
    return Spread(value, value, value)


def _waiting(pair: Pair, settings: Settings) -> Iterator[Row]:
    seconds = 1.0 if settings.quick else 3.0
    lines: list[list[str | Spread]] = []
    for name, how in (("worker.barrier()", "barrier"), ("A.locked(i)", "lock"), ("A.wait_until(...)", "element")):
        *workers, server = pair.pydsm.ask(seconds, "waiting", how)
        lines.append([name, _share(workers, seconds), _share([server], seconds)])
    ranks = pair.raw.ask(seconds, "waiting", "barrier")
    lines.append(["mpi4py: Barrier", _share(ranks, seconds), "-"])
    columns: list[tuple[str, Cost | None]] = [
        ("waiting in", None),
        ("of a cpu, each of 3 workers", "share"),
        ("of a cpu, a server", "share"),
    ]
    yield Table(f"What waiting for {seconds:g} s costs", columns, lines)


def _share(used: Sequence[float], seconds: float) -> Spread:
    return spread([each / seconds for each in used])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    from benchmarks import rankpage

    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds: a look, not a measurement")
    parser.add_argument(
        "--scaling", action="store_true", help="applications on 1 to 4 workers, instead of single operations"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="write ranks.md and ranks.json there; what else they have is kept"
    )
    parser.add_argument("--render", metavar="FOLDER", help="measure nothing: write ranks.md of its ranks.json anew")
    options = parser.parse_args(arguments)
    if options.render:
        rankpage.write(Path(options.render))
        return 0
    if why_not := missing():
        print(why_not.removeprefix("skipped: "), file=sys.stderr)
        return 1
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:.0f} s: {text}", file=sys.stderr, flush=True)

    return rankpage.measure("rankscaling" if options.scaling else "ranks", options.quick, options.output, say)


if __name__ == "__main__":
    sys.exit(main())
