"""How long operations take, and how many a job can do: LogGP with a server on each node.

A message of b bytes from one node to another takes L + b G (Alexandrov and others, *LogGP*, 1995); who sends or
takes it spends o of its processor.  A server spends `serve` on a request and its answer, `take` on what is only
told, and takes one after the other.  So

- a round trip to one home takes ``o + L + b G + serve + L + b' G + o``;
- k homes at once take ``(k - 1) o`` more: their answers come one after the other, as they were asked;
- a server that has a share u of its time busy lets who comes wait besides, on average ``u s / (2 (1 - u))`` if
  arrivals are random and each takes s (M/D/1; Pollaczek and Khinchine);
- n workers that think for Z between two operations of R each do n / (Z + R) a second together, and never more than
  servers can: 1 / (the busiest server's time for one operation).  (Asymptotic bounds: Denning and Buzen, *The
  operational analysis of queueing network models*, 1978.)
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scaling import model, wire
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.wire import Part

__all__ = ["Limits", "Machine", "atomics", "barrier_seconds", "hot_row", "random_regions", "waiting"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Seconds of what a network and its nodes do.

    The numbers are of the order of what nodes on Ethernet take; give your own: ``python -m benchmarks.scaling --latency
    ... --serve ...``.

    Attributes
    ----------
    latency : float
        From one node to another, with what MPI and waking up take.
    byte : float
        For each byte: 1 / bandwidth.
    overhead : float
        Of a worker, for a message that it sends or takes.
    serve, take, grant : float
        Of a server: for a request and its answer; for what is only told; for the answer to one that has waited.
    version : float
        Of a server, to compare one version.
    here : float
        To enter and leave a region at home.
    inside : float
        Seconds of a region.
    compare : float
        To look for changes, for each byte of an array.
    """

    latency: float = 15e-6
    byte: float = 1e-9
    overhead: float = 5e-6
    serve: float = 12e-6
    take: float = 8e-6
    grant: float = 6e-6
    version: float = 1e-9
    here: float = 3e-6
    inside: float = 1e-6
    compare: float = 0.2e-9

    def round_trip(self, sent: int, received: int, serve: float | None = None, homes: int = 1) -> float:
        """Return the seconds from a request until all answers are there, when no server is busy."""
        wait = 2 * self.latency + (sent + received) * self.byte + (self.serve if serve is None else serve)
        return homes * self.overhead + wait + self.overhead


@dataclass(frozen=True, slots=True)
class Limits:
    """What one operation takes, and how many all workers can do.

    Attributes
    ----------
    alone : float
        Seconds of one, when nobody else does anything.
    busiest : float
        Seconds that the busiest server spends on one, on average over all workers.
    workers : int
    """

    alone: float
    busiest: float
    workers: int

    def rate(self, think: float = 0.0) -> float:
        """Return at most how many operations all workers do in a second."""
        asked = self.workers / (think + self.alone)
        return min(asked, 1 / self.busiest) if self.busiest else asked

    def bend(self, think: float = 0.0) -> float:
        """Return from how many workers on the servers are what limits."""
        return (think + self.alone) / self.busiest if self.busiest else float("inf")


def waiting(utilisation: float, service: float) -> float:
    """Return how long one waits on average for a server that takes as long for each: M/D/1.

    Examples
    --------
    >>> waiting(0.5, 10e-6)
    5e-06
    """
    return utilisation * service / (2 * (1 - utilisation)) if utilisation < 1 else float("inf")


def random_regions(job: Job, machine: Machine, array: Array, new: float = 1.0) -> Limits:
    """Return the limits of locked updates of one random row after the other.

    A row is elsewhere with the chance r = 1 - 1 / N.  A server does (serve + take) r for each update of any
    worker that meets it, and each meets one, so the busiest of N servers spends (serve + take) r / N on one.

    Parameters
    ----------
    new : float
        How often the row's stripe has been changed by another node since, so that it is sent.
    """
    away = 1 - 1 / job.nodes
    block = new * (wire.granted(1, array.stripe_bytes) - wire.granted())
    cost = model.region(job, array, {0: 1}, {0: Part(array.row_bytes // array.item_bytes, array.item_bytes)})
    sent, received = cost.bytes["acquire"], cost.bytes["answer"] + block
    there = machine.round_trip(sent, int(received)) + machine.inside + machine.overhead
    server = max(machine.serve + machine.take, (sent + received + cost.bytes["release"]) * machine.byte / 2)
    return Limits(away * there + (1 - away) * (machine.here + machine.inside), server * away / job.nodes, job.workers)


def hot_row(job: Job, machine: Machine, array: Array) -> Limits:
    """Return the limits of locked updates of one row that all workers want: one after the other.

    From one holder elsewhere to the next: the answer's way, the region, the release's way, and the server's time for
    the release and the next answer.  More nodes or workers change nothing.
    """
    block = wire.granted(1, array.stripe_bytes)
    cycle = (
        2 * machine.latency
        + block * machine.byte
        + 2 * machine.overhead
        + machine.inside
        + machine.take
        + machine.grant
    )
    return Limits(machine.round_trip(wire.acquire(1), block) + machine.inside + machine.overhead, cycle, job.workers)


def atomics(job: Job, machine: Machine, array: Array) -> Limits:
    """Return the limits of atomic operations on random elements: each asks each other node, what for ever it does.

    Every server has to do with every operation of all workers of other nodes, and compares its share of the versions.
    """
    away = job.nodes - 1
    stripes = sum(each.all_stripes for each in job.arrays) / job.nodes
    serve = machine.serve + stripes * machine.version
    size = int(wire.asked("pull", [round(stripes)]))
    look = machine.compare * sum(each.nbytes for each in job.arrays)
    elsewhere = machine.round_trip(size, wire.answer([(1, array.stripe_bytes)]), serve)
    rest = machine.round_trip(size, wire.answer(), serve, away - 1) if away > 1 else 0.0
    alone = look + (away / job.nodes) * (elsewhere + rest)
    if away:
        alone += machine.round_trip(size, wire.answer(), serve, away) / job.nodes
    transfer = size * away * machine.byte / max(1, job.nodes)
    return Limits(alone, max(serve * away / job.nodes, transfer), job.workers)


def barrier_seconds(job: Job, machine: Machine, *, tree: bool = False) -> dict[str, float]:
    """Return what of a barrier takes how long: nobody has written anything.

    The leader of each node sends N requests and takes N answers; each server takes N requests and then
    sends N answers, all in the same time; versions go over the network; each worker looks through its part of
    all arrays.

    Parameters
    ----------
    tree : bool
        As it would be with messages up and down a binary tree of nodes, which say only that all have come, and
        versions only of what has changed.
    """
    versions = sum(array.all_stripes for array in job.arrays)
    look = machine.compare * sum(array.nbytes for array in job.arrays) * job.nodes / max(1, job.workers)
    if tree:
        depth = max(1, (job.nodes - 1).bit_length())
        return {"looking": look, "messages": 2 * depth * (machine.latency + machine.serve), "versions": 0.0}
    leader = 2 * job.nodes * machine.overhead
    server = job.nodes * (machine.serve + versions / job.nodes * machine.version)
    size = wire.VERSION * versions * (job.nodes - 1) / job.nodes
    return {
        "looking": look,
        "messages": max(leader, server) + 2 * machine.latency,
        "versions": size * machine.byte,
    }
