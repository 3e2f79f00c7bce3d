"""What the model and the simulation say, as tables in Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.scaling import counted, model, programs, timing, wire
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.simulation import simulate
from benchmarks.scaling.timing import Machine

__all__ = ["EXAMPLE", "RANKS", "RANKS_A_NODE", "SIMULATED", "TABLES", "amount", "rate", "seconds", "table"]

RANKS: Final = (32, 128, 512, 1024, 2048, 4096)
RANKS_A_NODE: Final = 16
EXAMPLE: Final = Array(1 << 20, 8)
"""8 MB: 512 stripes of 16 kB."""
LARGE: Final = Array(1 << 30, 8)
"""8 GB: 524,288 stripes of 16 kB."""
STRIPES_A_WORKER: Final = 16


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown.

    Examples
    --------
    >>> print(table(["n", "square"], [[2, 4]]))
    | n | square |
    |---|---|
    | 2 | 4 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join("---" if cell == "---" else f" {cell} " for cell in line) + "|" for line in lines)


def amount(count: float) -> str:
    """Return bytes for people.

    Examples
    --------
    >>> amount(100), amount(16384), amount(8.5e9)
    ('100 B', '16 kB', '8.5 GB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count:.0f} B"


def seconds(value: float) -> str:
    """Return seconds for people.

    Examples
    --------
    >>> seconds(2.5e-5), seconds(0.0123), seconds(3.0)
    ('25 µs', '12 ms', '3.0 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.{1 if value < 10 * size else 0}f} {unit}"
    return f"{value * 1e6:.1f} µs"


def rate(value: float) -> str:
    """Return so many in a second, for people.

    Examples
    --------
    >>> rate(950), rate(13_958), rate(1.28e7)
    ('950/s', '14 k/s', '12.8 M/s')
    """
    if value >= 1e6:
        return f"{value / 1e6:.1f} M/s"
    return f"{value / 1e3:.0f} k/s" if value >= 1e4 else f"{value:.0f}/s"


def jobs(*arrays: Array) -> list[Job]:
    """Return a job of each size."""
    return [Job.of(ranks, RANKS_A_NODE, *arrays) for ranks in RANKS]


def operations(machine: Machine) -> str:
    """Each operation in the small job that is counted (three nodes, of 2, 1 and 2 workers)."""
    del machine
    job = counted.job_of((2, 1, 2))
    rows = []
    for name, cost in counted.expected(job).items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in cost.messages.items())
        size = "" if name == "run" else f"{cost.all_bytes:,}"
        rows.append((name, cost.rounds or "", cost.all_messages, kinds, size))
    return table(["operation", "round trips", "messages", "of which", "bytes"], rows)


def growth(machine: Machine) -> str:
    """Messages and bytes of what grows faster than the job."""
    del machine
    rows = []
    for job in jobs(EXAMPLE):
        atomic, lock = model.atomic(job, EXAMPLE, 0), model.named_lock(job, 0)
        meet, gather = model.barrier(job), model.allreduce(job)
        rows.append(
            (
                f"{job.ranks:,}",
                job.nodes,
                model.region(job, EXAMPLE, {0: 1}).all_messages,
                atomic.all_messages,
                lock.all_messages,
                f"{meet.all_messages:,}",
                amount(gather.all_bytes - meet.all_bytes),
                f"{model.run(job).messages['left']:,}",
            )
        )
    head = ["ranks", "nodes", "a row elsewhere", "`fetch_add`", "named lock", "barrier", "`allreduce`", "end of a run"]
    return table(head, rows)


def versions(machine: Machine) -> str:
    """Bytes of versions that are sent though nothing has changed, by a node at a barrier and for one `fetch_add`."""
    del machine
    rows = []
    for array in (EXAMPLE, Array(1 << 27, 8), LARGE, Array(1 << 31, 8)):
        job = Job.of(4096, RANKS_A_NODE, array)
        meet = model.barrier(job).bytes["meet"]
        atomic = model.atomic(job, array, 0)
        asked = atomic.bytes["atomic"] + atomic.bytes["pull"]
        one = (amount(array.nbytes), f"{array.all_stripes:,}", amount(array.stripe_bytes), amount(meet / job.nodes))
        rows.append((*one, amount(meet), amount(asked)))
    head = ["array", "stripes", "of", "barrier, a node sends", "barrier, all nodes", "`fetch_add` sends"]
    return table(head, rows)


def memory(machine: Machine) -> str:
    """Bytes that a node needs, whatever the number of nodes, and how long it looks for changes."""
    rows = []
    for array in (EXAMPLE, Array(1 << 27, 8), LARGE, Array(1 << 32, 8)):
        job = Job.of(4096, RANKS_A_NODE, array)
        need = model.memory(job)
        rest = need["versions"] + need["locks"] + need["numbers"]
        look = machine.compare * array.nbytes
        rows.append(
            (
                amount(array.nbytes),
                amount(need["replicas"] + need["twins"]),
                amount(rest),
                amount(sum(need.values()) * job.nodes),
                seconds(look / (RANKS_A_NODE - 1)),
                seconds(look),
            )
        )
    head = ["array", "replica and twin", "versions and locks", "256 nodes", "look, barrier", "look, `fetch_add`"]
    return table(head, rows)


def barriers(machine: Machine) -> str:
    """Seconds of a barrier where nobody has written, by formula, and what they would be with messages up a tree."""
    rows = []
    for small, large in zip(jobs(EXAMPLE), jobs(LARGE), strict=True):
        parts = timing.barrier_seconds(small, machine)
        other = timing.barrier_seconds(large, machine)
        tree = timing.barrier_seconds(small, machine, tree=True)
        rows.append(
            (
                f"{small.ranks:,}",
                f"{model.barrier(small).all_messages:,}",
                seconds(parts["messages"]),
                seconds(sum(parts.values())),
                seconds(sum(other.values()) - other["looking"]),
                seconds(tree["messages"]),
            )
        )
    return table(["ranks", "messages", "for messages", "8 MB array", "8 GB, no looking", "messages up a tree"], rows)


def limits(machine: Machine) -> str:
    """Locked updates in a second: by formula, and simulated with random rows, few of them wanted, or only one."""
    rows = []
    for job in jobs(EXAMPLE):
        bound = timing.random_regions(job, machine, EXAMPLE)
        count = 20 if job.workers < 1000 else 10
        shown = simulate(job, machine, programs.uniform(job, count))
        fine = Job(job.counts, (dataclasses.replace(EXAMPLE, stripes=STRIPES_A_WORKER * job.workers),))
        other = simulate(fine, machine, programs.uniform(fine, count))
        zipf = simulate(job, machine, programs.zipf(job, count))
        hot = simulate(job, machine, programs.hot(job, 5))
        rows.append(
            (
                f"{job.ranks:,}",
                f"{bound.bend() / job.nodes:.1f}",
                rate(bound.rate()),
                rate(shown.rate("region")),
                f"{max(shown.busy):.0%}",
                rate(other.rate("region")),
                rate(zipf.rate("region")),
                rate(hot.rate("region")),
            )
        )
    head = ["ranks", "bends at workers a node", "bound", "512 stripes", "busiest server", "16 stripes a worker"]
    head += ["Zipf", "one row"]
    return table(head, rows)


def think(machine: Machine) -> str:
    """Locked updates of random rows on 16 nodes, by what a worker computes between two of them."""
    rows = []
    job = Job.of(256, RANKS_A_NODE, EXAMPLE)
    bound = timing.random_regions(job, machine, EXAMPLE)
    for pause in (0.0, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2):
        shown = simulate(job, machine, programs.uniform(job, 40, pause))
        asked = job.workers / (pause + bound.alone)
        busy = min(1.0, asked * bound.busiest)
        waits = timing.waiting(busy, (machine.serve + machine.take) / 2)
        rows.append(
            (
                seconds(pause) if pause else "nothing",
                rate(bound.rate(pause)),
                rate(shown.rate("region")),
                f"{busy:.0%}",
                seconds(waits) if busy < 1 else "queue",
                seconds(shown.waited),
            )
        )
    head = ["computes", "bound", "simulated", "servers busy", "waits, M/D/1", "waits, simulated"]
    return table(head, rows)


def atomics(machine: Machine) -> str:
    """Atomic operations on random elements of a small array: by formula and simulated."""
    rows = []
    small = Array(4096, 8)
    for ranks in RANKS[:-2]:
        job = Job.of(ranks, RANKS_A_NODE, small)
        bound = timing.atomics(job, machine, small)
        shown = simulate(job, machine, programs.atomics(job, 8 if ranks < 500 else 3))
        lonely = timing.Limits(
            machine.round_trip(wire.HEAD["atomic"], wire.answer()), machine.serve / job.nodes, job.workers
        )
        mean = seconds(shown.mean("atomic"))
        rows.append((f"{ranks:,}", rate(bound.rate()), rate(shown.rate("atomic")), mean, rate(lonely.rate())))
    return table(["ranks", "bound", "simulated", "one takes", "bound if only its home were asked"], rows)


TABLES: Final[dict[str, Callable[[Machine], str]]] = {
    "operations": operations,
    "growth": growth,
    "versions": versions,
    "memory": memory,
    "barriers": barriers,
    "limits": limits,
    "think": think,
    "atomics": atomics,
}
SIMULATED: Final = {"limits", "think", "atomics"}
"""Those that take longer."""
