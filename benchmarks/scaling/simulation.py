"""The protocol of regions, atomic operations and barriers, message by message, in simulated time.

Workers do one operation after the other; each node has a server that takes messages in the order of their arrival; a
row's lock is a line at its home; networks delay by latency and bytes, and a node sends one byte after the other.
It knows of the engine what decides when a message is sent (`pydsm.mpi.engine`, `pydsm.mpi.home`), and shares with the
formulas of `benchmarks.scaling.model` nothing but the sizes of messages.

What it leaves out: memory and its caches, workers that share processors, what MPI does with many messages at once,
and lost packets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from benchmarks.scaling import wire
from benchmarks.scaling.events import Gate, Loop, Process, Station
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.timing import Machine
from benchmarks.scaling.wire import Part

__all__ = ["Act", "Outcome", "simulate"]

_NATIVE = 2e-6  # to wake a worker of the same node


class Act(NamedTuple):
    """What a worker does next.

    Attributes
    ----------
    kind : str
        ``think`` for so many seconds; update a row in a ``region``; an ``atomic`` operation on an element of
        a row; a ``barrier``.
    value : float
        Seconds, or the row.
    """

    kind: Literal["think", "region", "atomic", "barrier"]
    value: float = 0


@dataclass(slots=True)
class _Line:
    """Who has a stripe, and who waits for it in the order of arrival."""

    is_held: bool = False
    waiting: deque[Callable[[], None]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation has shown.

    Attributes
    ----------
    seconds : float
    done : Counter of str
        How many operations of each kind.
    took : Counter of str
        Seconds of all operations of each kind.
    messages, bytes : Counter of str
        By kind.
    busy : list of float
        Which share of the time each server was busy.
    waited : float
        Seconds that a message has waited for its server, on average.
    """

    seconds: float
    done: Counter[str]
    took: Counter[str]
    messages: Counter[str]
    bytes: Counter[str]
    busy: list[float]
    waited: float
    ends: dict[str, list[float]]
    """When each operation was done."""

    def rate(self, kind: str) -> float:
        """Return the operations of a kind in a second, of the middle half: begin and end are not like the rest."""
        ends = self.ends[kind]
        first, last = len(ends) // 4, len(ends) * 3 // 4
        return (last - first) / (ends[last] - ends[first])

    def mean(self, kind: str) -> float:
        """Return the seconds of an operation of a kind."""
        return self.took[kind] / self.done[kind] if self.done[kind] else 0.0


def simulate(job: Job, machine: Machine, programs: Iterable[Iterable[Act]]) -> Outcome:
    """Let every worker do its program; all do as many barriers.

    Raises
    ------
    ValueError
        There are more programs than workers or fewer, or not all have as many barriers.
    """
    running = _Simulation(job, machine)
    for node, program in zip(running.node_of, programs, strict=True):
        running.loop.start(running.worker(node, program))
    running.loop.run()
    if running.ended < job.workers:
        waiting = job.workers - running.ended
        raise ValueError(f"{waiting} of {job.workers} workers wait for ever: all do as many barriers")
    seconds = running.loop.now
    served = sum(server.served for server in running.servers)
    return Outcome(
        seconds,
        running.done,
        running.took,
        running.messages,
        running.bytes,
        [server.busy / seconds if seconds else 0.0 for server in running.servers],
        sum(server.waited for server in running.servers) / served if served else 0.0,
        running.ends,
    )


class _Answers:
    """What a worker takes one after the other, as they come, until it has all."""

    __slots__ = ("_each", "_taking", "all")

    def __init__(self, loop: Loop, count: int, each: float) -> None:
        self.all, self._taking, self._each = Gate(loop, count), Station(loop), each

    def take(self) -> None:
        """Take one that has come."""
        self._taking.serve(self._each, self.all.knock)


class _Simulation:
    def __init__(self, job: Job, machine: Machine) -> None:
        self.job, self.machine, self.loop = job, machine, Loop()
        self.array: Array = job.arrays[0]
        self.block, self.stripe_bytes = self.array.block, self.array.stripe_bytes
        self.nbytes = sum(array.nbytes for array in job.arrays)
        self.ended = 0
        self.node_of = [node for node, count in enumerate(job.counts) for _ in range(count)]
        self.servers = [Station(self.loop) for _ in job.counts]
        self.wires = [Station(self.loop) for _ in job.counts]
        self.lines: dict[int, _Line] = {}
        self.version: Counter[int] = Counter()
        self.known: Counter[tuple[int, int]] = Counter()
        self.changed: list[set[int]] = [set() for _ in job.counts]
        self.met = [[0, Gate(self.loop, count)] for count in job.counts]
        self.meeting: list[list[tuple[int, _Answers]]] = [[] for _ in job.counts]
        self.shares = job.all_known()
        self.wishes = [wire.asked("pull", known) for known in self.shares]
        self.serving = [machine.serve + machine.version * sum(known) for known in self.shares]
        self.bounds = job.bounds(self.array)
        self.done: Counter[str] = Counter()
        self.took: Counter[str] = Counter()
        self.ends: dict[str, list[float]] = {}
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    # -- messages ---------------------------------------------------------------------------

    def send(self, kind: str, size: int, source: int, target: int, then: Callable[..., None], *arguments: Any) -> None:
        """Send a message; do something when it has arrived."""
        self.messages[kind] += 1
        self.bytes[kind] += size
        if source == target:
            self.loop.at(self.loop.now + _NATIVE, then, *arguments)
        else:
            self.wires[source].serve(size * self.machine.byte, self._arrive, then, arguments)

    def _arrive(self, then: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.loop.at(self.loop.now + self.machine.latency, then, *arguments)

    def ask(
        self, kind: str, size: int, node: int, home: int, serve: float, act: Callable[..., None], *what: Any
    ) -> None:
        """Send a request to a home, whose server spends some time on it and then acts."""
        self.send(kind, size, node, home, self.servers[home].serve, serve, act, *what)

    # -- workers ----------------------------------------------------------------------------

    def worker(self, node: int, program: Iterable[Act]) -> Process:
        """Do a program."""
        for kind, value in program:
            began = self.loop.now
            if kind == "think":
                yield value
            elif kind == "region":
                yield from self.region(node, int(value) // self.block)
            elif kind == "atomic":
                yield from self.atomic(node, int(value) // self.block)
            else:
                yield from self.barrier(node)
            self.done[kind] += 1
            self.took[kind] += self.loop.now - began
            self.ends.setdefault(kind, []).append(self.loop.now)
        self.ended += 1

    def home_of(self, stripe: int) -> int:
        return bisect_right(self.bounds, stripe) - 1

    # -- regions ----------------------------------------------------------------------------

    def region(self, node: int, stripe: int) -> Process:
        home, machine = self.home_of(stripe), self.machine
        line = self.lines.setdefault(stripe, _Line())
        had = Gate(self.loop)
        if home == node:
            self.take(line, had.knock)
            yield had
            yield machine.here + machine.inside
            self.write(node, stripe)
            self.give(line)
            return
        yield machine.overhead
        self.ask("acquire", wire.acquire(1), node, home, machine.serve, self.acquire, node, stripe, had)
        yield had
        yield machine.overhead + machine.inside
        yield machine.overhead
        part = Part(self.array.row_bytes // self.array.item_bytes, self.array.item_bytes)
        self.write(node, stripe, home)
        self.ask("release", wire.release(1, [part]), node, home, machine.take, self.release, stripe)

    def acquire(self, node: int, stripe: int, had: Gate) -> None:
        line = self.lines[stripe]
        if line.is_held or line.waiting:
            home = self.home_of(stripe)
            grant = self.machine.grant
            line.waiting.append(lambda: self.servers[home].serve(grant, self.grant, node, stripe, had))
        else:
            line.is_held = True
            self.grant(node, stripe, had)

    def grant(self, node: int, stripe: int, had: Gate) -> None:
        is_new = self.known[node, stripe] != self.version[stripe]
        self.known[node, stripe] = self.version[stripe]
        size = wire.granted(1, self.stripe_bytes) if is_new else wire.granted()
        self.send("answer", size, self.home_of(stripe), node, had.knock)

    def release(self, stripe: int) -> None:
        self.give(self.lines[stripe])

    def take(self, line: _Line, had: Callable[[], None]) -> None:
        if line.is_held or line.waiting:
            line.waiting.append(had)
        else:
            line.is_held = True
            had()

    def give(self, line: _Line) -> None:
        line.is_held = False
        if line.waiting:
            line.is_held = True
            line.waiting.popleft()()

    def write(self, node: int, stripe: int, home: int | None = None) -> None:
        """Count a change of a stripe; who made it knows of it, and nobody else."""
        self.version[stripe] += 1
        if home is not None:
            self.known[node, stripe] += 1
        self.changed[node if home is None else home].add(stripe)

    # -- elements -----------------------------------------------------------------------------

    def atomic(self, node: int, stripe: int) -> Process:
        home, machine = self.home_of(stripe), self.machine
        yield machine.compare * self.nbytes
        if home != node:
            come = _Answers(self.loop, 1, machine.overhead)
            yield machine.overhead
            size = wire.asked("atomic", self.shares[home])
            brings = wire.answer([(1, self.stripe_bytes)])
            self.ask("atomic", size, node, home, self.serving[home], self.reply, home, node, brings, come)
            yield come.all
        yield from self.pull(node, [other for other in range(self.job.nodes) if other not in (node, home)])

    def pull(self, node: int, homes: list[int]) -> Process:
        come = _Answers(self.loop, len(homes), self.machine.overhead)
        for home in homes:
            yield self.machine.overhead
            size, serve = self.wishes[home], self.serving[home]
            self.ask("pull", size, node, home, serve, self.reply, home, node, wire.answer(), come)
        if homes:
            yield come.all

    def reply(self, home: int, node: int, size: int, come: _Answers) -> None:
        self.send("answer", size, home, node, come.take)

    # -- barriers -----------------------------------------------------------------------------

    def barrier(self, node: int) -> Process:
        job, machine = self.job, self.machine
        yield machine.compare * self.nbytes / job.counts[node]
        here: list[Any] = self.met[node]
        here[0] += 1
        gate: Gate = here[1]
        if here[0] < job.counts[node]:
            yield gate
            return
        come = _Answers(self.loop, job.nodes, machine.overhead)
        for home in range(job.nodes):
            yield machine.overhead
            known = self.shares[home] if home != node else []
            serve = machine.serve / 2 + machine.version * sum(known)
            self.ask("meet", wire.asked("meet", known), node, home, serve, self.meet, home, node, come)
        yield come.all
        self.met[node] = [0, Gate(self.loop, job.counts[node])]
        for _ in range(job.counts[node]):
            gate.knock()

    def meet(self, home: int, node: int, come: _Answers) -> None:
        """Answer all when all have come."""
        self.meeting[home].append((node, come))
        if len(self.meeting[home]) < self.job.nodes:
            return
        for other, answers in self.meeting[home]:
            news = 0
            for stripe in self.changed[home] if other != home else ():
                news += self.known[other, stripe] != self.version[stripe]
                self.known[other, stripe] = self.version[stripe]
            size = wire.answer([(news, news * self.stripe_bytes)])
            self.servers[home].serve(self.machine.serve / 2, self.reply, home, other, size, answers)
        self.meeting[home] = []
        self.changed[home].clear()
