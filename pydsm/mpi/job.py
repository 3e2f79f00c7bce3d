"""Rank 0's side: the job, its teams' crews, and their runs.

Rank 0 runs the program.  In `Team.run` it sends what to do to the server of each node, and serves its own until
all workers have ended.  The start of a run and its end are edges with the parent: what it wrote before goes to the
homes first, and what workers wrote comes from there at the end.
"""

from __future__ import annotations

import itertools
import pickle
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import cloudpickle

from pydsm.core.layout import Description
from pydsm.core.names import check_namespace
from pydsm.errors import UnknownNameError, WorkerDiedError
from pydsm.interrupt import DeferredSignals
from pydsm.mpi import nodes as layout
from pydsm.mpi.array import MpiArray
from pydsm.mpi.client import Client
from pydsm.mpi.homes import stripes_for
from pydsm.mpi.server import Served, Server
from pydsm.mpi.world import SERVER, World
from pydsm.observed import ObservedLock
from pydsm.supervise import Outcome, Report, conclude
from pydsm.sync.namespace import Namespace

__all__ = ["STOPPED", "MpiCrew", "MpiJob"]

STOPPED: Final = "stopped"
"""The result of a worker that was told to stop."""
_CAUSE_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 15.0
_TICK_SECONDS: Final = 0.1
_AWAY_SECONDS: Final = 1.0
_SIGNAL_SECONDS: Final = 0.005


class MpiJob:
    """The MPI job that this process is rank 0 of."""

    def __init__(self, world: World, nodes: layout.Nodes, server: Server) -> None:
        self.world, self.nodes, self.server = world, nodes, server
        self.numbers = itertools.count(1)
        self.dead: str | None = None
        """Who has died: nothing can be done over MPI any more."""
        self.running = False

    def crew(self, size: int | None) -> MpiCrew:
        """Return so many workers, the first of the job; all unless given."""
        return MpiCrew(self, self.nodes.crew(size))

    def abort(self, code: int, why: str = "") -> None:
        """End all ranks at once.

        The reaper says why, if nobody has: what rank 0 says last may be lost with it.
        """
        self.server.reaper.tell(f"quiet {why}")
        self.world.abort(code)

    def end(self, code: int) -> None:
        """Let all ranks leave; at once if one of them has died."""
        if self.dead is not None:
            self.abort(code or 1)
        for ranks in reversed(self.nodes.ranks):
            if ranks[0]:
                self.world.send(ranks[0], SERVER, ("bye",))
        self.server._bye()


class MpiCrew:
    """The workers of one team, as rank 0 has them; see `pydsm.crew.Crew`."""

    def __init__(self, job: MpiJob, crew: layout.Crew) -> None:
        self._job, self._server, self._crew = job, job.server, crew
        self.size, self.nodes, self.seats = crew.size, crew.nodes, crew.counts[0]
        self._number = next(job.numbers)
        self._runs = 0
        self._namespace: Namespace | None = None
        self._client: Client | None = None

    # -- what the team has ------------------------------------------------------------------

    def open(self, namespace: Namespace) -> None:
        """Let all nodes take part in a namespace."""
        crew = self._crew
        if crew.nodes > 1:
            check_namespace(f"{namespace.name}-n{crew.nodes}")
            namespace.array_class, namespace.lock_class = MpiArray, ObservedLock
            for index, server in enumerate(crew.servers[1:], 1):
                mode = namespace.permissions["mode"]
                self._job.world.send(server, SERVER, ("open", self._number, namespace.name, crew, index, mode))
        served = Served(namespace, crew, 0)
        self._server.add(self._number, served)
        self._namespace = namespace
        if served.node is not None:
            self._client = Client(self._job.world, served.node, self._number, SERVER, self._server.step)
            namespace.elsewhere = self

    def stripes_for(self, rows: int, nbytes: int) -> int:
        """Return how many stripes an array has unless told."""
        return stripes_for(rows, nbytes)

    def check(self, description: Description) -> None:
        """Refuse what cannot be on several nodes."""
        if description.file is not None:
            raise ValueError(f"array {description.name!r} cannot be in a file: its team is on {self.nodes} nodes")

    def make(self, description: Description, stripes: int) -> None:
        """Make an array or a lock on all nodes; see `pydsm.sync.namespace.Elsewhere`."""
        self.check(description)
        made: list[Exception | None] = []
        self._server.make(self._number, description, stripes, made.append)
        self._server.serve(lambda: bool(made))
        if made[0] is not None:
            raise made[0]

    def drop(self, name: str) -> None:
        """Remove one on all nodes."""
        done: list[list[Any]] = []
        self._server.ask_all(self._number, "remove", (name,), done.append)
        self._server.serve(lambda: bool(done))
        if not any(found is True for found in done[0]):
            raise UnknownNameError(
                f"there is no array {name!r} in namespace {self._namespace and self._namespace.name!r}"
            )

    def close(self) -> None:
        """Let all nodes leave the namespace."""
        if self._number in self._server.teams and not self._server.over and self._job.dead is None:
            done: list[Any] = []
            self._server.ask_all(self._number, "close", (), done.append)
            self._server.serve(lambda: bool(done))

    # -- a run ---------------------------------------------------------------------------------

    def run(
        self,
        task: Any,
        on_failure: Callable[[], None],
        ticks: Sequence[Callable[[Iterable[int]], None]],
        signals: DeferredSignals,
    ) -> tuple[list[Any], list[str]]:
        """Do a run; see `pydsm.crew.Crew`."""
        if self._job.dead is not None:
            raise RuntimeError(f"nothing can be run over MPI any more: {self._job.dead}")
        if self._job.running:
            raise RuntimeError("another team of this MPI job runs already: one at a time")
        self._runs += 1
        content = cloudpickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        self._job.running = True
        try:
            return _Run(self, self._runs, on_failure, ticks, signals).do(content)
        finally:
            self._job.running = False


class _Run:
    """One run, from its start to its end."""

    def __init__(
        self,
        crew: MpiCrew,
        number: int,
        on_failure: Callable[[], None],
        ticks: Sequence[Callable[[Iterable[int]], None]],
        signals: DeferredSignals,
    ) -> None:
        self._job, self._server, self._crew = crew._job, crew._server, crew._crew
        self._team, self._number, self._client = crew._number, number, crew._client
        self._on_failure, self._ticks, self._signals = on_failure, ticks, signals
        self._alive = set(range(self._crew.size))
        self._outcomes: list[Outcome] = []
        self._told: dict[int, list[int]] = {}
        self._leftovers: list[str] = []
        self._halt_at: float | None = None
        self._abort_at: float | None = None
        self._next_tick = 0.0
        now = time.monotonic()
        self._looked = now
        self._heard = {ranks[0]: now for ranks in self._job.nodes.ranks}

    def do(self, content: bytes) -> tuple[list[Any], list[str]]:
        """Start the workers, wait for them, and bring in what they wrote."""
        server = self._server
        server.on_report = self._hear
        server.on_answer = self._client.deliver if self._client is not None else server.on_answer
        try:
            self._start(content)
            try:
                self._wait()
            except BaseException:  # Ctrl-C above all
                self._stop()
                self._wait(patiently=False)
                raise
            self._bring_in()
        finally:
            server.on_report = lambda message: None
        results, leftovers = conclude(self._outcomes, survive=False)
        return results, [*self._leftovers, *leftovers]

    def _start(self, content: bytes) -> None:
        told: list[int] = []
        node = self._client.node if self._client is not None else None
        if node is not None and self._client is not None:
            node.know_all()
            self._client.publish(node.everywhere())
            told = node.sent()
        message = ("run", self._team, self._number, told, content)
        for server in self._crew.servers[1:]:
            self._job.world.send(server, SERVER, message)
        self._server._run(*message[1:])

    def _wait(self, *, patiently: bool = True) -> None:
        server = self._server
        next_signal = 0.0
        while self._alive or len(self._told) < self._crew.nodes:
            server.rest(idle=not server.step(server.eager))
            now = time.monotonic()
            if now >= next_signal:
                next_signal = now + _SIGNAL_SECONDS
                if patiently and self._signals.reader >= 0 and select.select([self._signals.reader], [], [], 0)[0]:
                    self._signals.act()
            if now >= self._next_tick:
                self._next_tick = now + _TICK_SECONDS
                for tick in self._ticks:
                    tick(self._alive)
                self._look(now)
            if self._job.dead is not None:
                raise WorkerDiedError(self._job.dead, rank=-1, exitcode=-9, held=[], remote_traceback="")

    def _look(self, now: float) -> None:
        """See who is late: to stop, or to say that it lives."""
        away, self._looked = now - self._looked - _AWAY_SECONDS, now
        if away > 0:  # this rank was busy itself, and has not heard yet what came meanwhile
            self._heard = {server: heard + away for server, heard in self._heard.items()}
        if self._halt_at is not None and now >= self._halt_at:
            self._stop()
        if self._abort_at is not None and now >= self._abort_at:
            late = ", ".join(map(str, sorted(self._alive)))
            self._abort(f"rank {late} of the team did not stop within {_GRACE_SECONDS:g} s")
        for index, server in enumerate(self._crew.servers[1:], 1):
            if now - self._heard[server] > _SILENCE_SECONDS and index not in self._told:
                self._abort(
                    f"node {index} (served by rank {server} of MPI) has said nothing for {_SILENCE_SECONDS:g} s"
                )

    def _abort(self, why: str) -> None:
        self._job.abort(1, why)

    # -- what is heard ------------------------------------------------------------------------------

    def _hear(self, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "beat":
            self._heard[message[1]] = time.monotonic()
        elif kind == "died":
            self._lose(message[1], message[2])
        elif message[1] == self._team:
            hear: dict[str, Callable[..., None]] = {
                "done": self._done,
                "ended": self._ended,
                "leftovers": self._keep_leftovers,
            }
            hear[kind](*message[2:])

    def _done(self, run: int, worker: int, left: tuple[int, list[int]], content: bytes) -> None:
        if run != self._number:
            return
        report: Report = pickle.loads(content)
        self._alive.discard(worker)
        was_stopped = report.error is not None and report.result == STOPPED
        outcome = Outcome(worker, 0, report, was_stopped)
        if was_stopped and self._abort_at is None:  # by somebody else
            outcome = Outcome(worker, -signal.SIGTERM, None, False)
        self._outcomes.append(outcome)
        self._tell_all("left", worker, *left)
        if report.error is not None and self._halt_at is None and self._abort_at is None:
            self._on_failure()
            self._tell_all("fail")
            self._halt_at = time.monotonic() + (_CAUSE_SECONDS if outcome.weight() else 0)

    def _ended(self, run: int, node: int, told: list[int]) -> None:
        if run == self._number:
            self._told[node] = told

    def _keep_leftovers(self, sentences: list[str]) -> None:
        self._leftovers += sentences

    def _tell_all(self, kind: str, *details: Any) -> None:
        """Tell the servers of all nodes."""
        for server in self._crew.servers[1:]:
            self._job.world.send(server, SERVER, (kind, self._team, *details), wait=False)
        self._server._take((kind, self._team, *details))

    def _stop(self) -> None:
        """Stop all workers that still run."""
        self._halt_at = None
        if self._abort_at is None:
            self._abort_at = time.monotonic() + _GRACE_SECONDS
            self._on_failure()
            self._tell_all("fail")
            self._tell_all("halt")

    def _lose(self, rank: int, pid: int) -> None:
        """See that the process of a rank has died, as a reaper has said: MPI cannot go on without it, so nobody can."""
        ranks = [each for workers in self._job.nodes.ranks for each in workers[1:]]
        who = f"worker {ranks.index(rank)}" if rank in ranks else "a server"
        self._job.dead = self._job.dead or f"{who} (rank {rank} of MPI, pid {pid}) died before it returned"

    # -- the end ---------------------------------------------------------------------------------------

    def _bring_in(self) -> None:
        """Get what the workers wrote: when the homes have had it all."""
        client = self._client
        if client is None:
            return
        home = self._server.teams[self._team].home
        assert home is not None
        self._server.serve(
            lambda: all(home.applied[node] >= told[0] for node, told in self._told.items() if node and told)
        )
        others = client.node.others
        client.node.know_all()
        client.pull(
            others, {j: {node: told[j] for node, told in self._told.items() if told and node != j} for j in others}
        )
