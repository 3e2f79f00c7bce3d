"""A worker rank: it waits for tasks, and does them."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import signal
import sys
from typing import Any

import cloudpickle

from pydsm.core.events import observe
from pydsm.handles import mapped_in, use_namespace
from pydsm.instruments import Observers
from pydsm.ipc.blas import limit_threads
from pydsm.ipc.cpus import available_cpus
from pydsm.mpi.array import MpiArray
from pydsm.mpi.client import Client
from pydsm.mpi.engine import Engine
from pydsm.mpi.homes import stripes_for
from pydsm.mpi.job import STOPPED
from pydsm.mpi.messages import Answer, read
from pydsm.mpi.node import Node
from pydsm.mpi.nodes import Crew
from pydsm.mpi.stopping import Stopped, stop_on_sigterm, whole
from pydsm.mpi.worker import MpiBarrier, MpiWorker
from pydsm.mpi.world import SERVER, WORKER, Patience, World
from pydsm.observed import ObservedBarrier, ObservedLock
from pydsm.supervise import Report
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace
from pydsm.task import Task
from pydsm.worker import Worker, enter_worker

__all__ = ["WorkerRank"]

_IDLE: float = 0.005


class WorkerRank:
    """The worker that this process is, from one run to the next.

    Parameters
    ----------
    world : World
    server : int
        The rank that serves this node.
    """

    def __init__(self, world: World, server: int) -> None:
        self.world, self.server = world, server
        self._namespaces: dict[int, Namespace] = {}
        self._nodes: dict[int, Node] = {}
        self._client: Client | None = None
        self._later: list[Any] = []
        self._over = False

    def serve(self) -> None:
        """Do what comes until the job ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for rank 0, which stops us
        patience = Patience(_IDLE)
        while not self._over:
            if self.step():
                patience.reset()
            elif self._later:
                self._begin(*self._later.pop(0)[1:])
                patience.reset()
            else:
                patience.wait()

    def step(self, eager: float = 0.0) -> bool:
        """Take one message, if there is one or one comes within some seconds; say so."""
        found = self.world.packed.take(WORKER, eager)
        if found is not None:
            self._take(*found)
        return found is not None

    def _take(self, source: int, content: bytearray) -> None:
        message: Any = read(source, content)
        if isinstance(message, Answer):
            if self._client is not None:
                self._client.deliver(message)
        elif message[0] == "task":
            self._later.append(message)
        elif message[0] == "close":
            self._forget(message[1])
        elif message[0] == "bye":
            self._over = True

    def _forget(self, team: int) -> None:
        """Leave a team's namespace."""
        self._nodes.pop(team, None)
        namespace = self._namespaces.pop(team, None)
        gc.collect()
        if namespace is not None:
            namespace.close()

    # -- a run ----------------------------------------------------------------------------

    def _begin(
        self, team: int, run: int, worker: int, crew: Crew, index: int, local: str, told: list[int], content: bytes
    ) -> None:
        barriers = 0
        try:
            with stop_on_sigterm():
                report, barriers = self._attend(team, worker, crew, index, local, told, content)
        except Stopped as error:
            report = _stopped(error)
        except Exception as error:  # the task cannot be unpickled, most likely
            report = Report.of_exception(error)
        self._client = None
        node = self._nodes.get(team)
        self._send(team, run, worker, (barriers, [] if node is None else node.sent()), report)

    def _send(self, team: int, run: int, worker: int, left: tuple[int, list[int]], report: Report) -> None:
        try:
            content = cloudpickle.dumps(report, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            unsent = TypeError(f"the result of the worker's function does not pickle: {error}")
            content = cloudpickle.dumps(Report.of_exception(unsent), pickle.HIGHEST_PROTOCOL)
        self.world.send(self.server, SERVER, ("done", team, run, worker, left, content))

    def _attend(
        self, team: int, worker: int, crew: Crew, index: int, local: str, told: list[int], content: bytes
    ) -> tuple[Report, int]:
        """Sit down, call the function, stand up; return the report, and how many barriers there were."""
        namespace = self._namespaces.get(team)
        if namespace is None:
            namespace = self._namespaces[team] = Namespace.open(local)
        slot = worker - crew.first(index)
        several = crew.nodes > 1
        if several:
            namespace.array_class, namespace.lock_class = MpiArray, ObservedLock
            if index:
                namespace.alias(local.removesuffix(f"-n{index}"))
        use_namespace(namespace)
        task: Task = dataclasses.replace(pickle.loads(content), rank=worker)
        namespace.sit(worker, slot)
        limit_threads(max(1, available_cpus() // crew.counts[index]))
        try:
            if several:
                return self._call_over(namespace, team, task, crew, index, told)
            return self._call_here(namespace, task), 0
        finally:
            with whole():
                self._leave(namespace, slot)

    def _call_here(self, namespace: Namespace, task: Task) -> Report:
        """Do a run of a team that is on one node: as children do."""
        barrier = ObservedBarrier(namespace) if task.instruments else Barrier(namespace)
        worker = Worker(namespace, task.rank, task.size, task.resources, task.seed, barrier)
        observed: Observers | None = None
        try:
            observed = task.instruments.enter(namespace, task.rank, task.size)
            report = _result(task, worker)
            barrier.finish(task.rank)
            observed.end(failed=False)
            observed.leave()
        except BaseException as error:
            report = _failed(error, barrier)
            if observed is not None:
                observed.end(failed=True)
        return report

    def _call_over(
        self, namespace: Namespace, team: int, task: Task, crew: Crew, index: int, told: list[int]
    ) -> tuple[Report, int]:
        """Do a run of a team that is on several nodes."""
        node = self._nodes.get(team)
        if node is None:
            node = self._nodes[team] = Node(namespace, crew, index)
        self._client = Client(self.world, node, team, WORKER, self.step, self._take)
        engine = Engine(self._client, task.rank)
        barrier = MpiBarrier(namespace, engine)
        namespace.elsewhere = _Elsewhere(self._client)
        worker = MpiWorker(namespace, engine, task.size, task.resources, task.seed, barrier)
        try:
            node.know_all()
            for root in mapped_in(namespace):
                engine.mapped(root, root._table.description, root._table.array_id)
            barrier.start(told)
            engine.begin()
            observe((engine,))
            report = _result(task, worker)
            barrier.finish(task.rank)
        except BaseException as error:
            report = _failed(error, barrier)
        finally:
            observe(())
            namespace.elsewhere = None
        return report, engine.barriers

    def _leave(self, namespace: Namespace, slot: int) -> None:
        """Leave what the run held."""
        enter_worker(None)
        namespace.put_back(slot)
        for locks in list(namespace.lock_words.values()):
            locks.policy.settle(locks)
            locks.policy.evict(locks, slot.__eq__)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        namespace.stand_up(slot)


class _Elsewhere:
    """Makes and removes arrays and locks on all nodes, for a worker."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.size = client.node.crew.size

    def make(self, description: Any, stripes: int) -> None:
        """Make one everywhere."""
        self.check(description)
        self._client.answer(0, self._client.ask(0, "make", description, stripes))

    def drop(self, name: str) -> None:
        """Remove one everywhere."""
        self._client.answer(0, self._client.ask(0, "drop", name))

    def stripes_for(self, rows: int, nbytes: int) -> int:
        """Return how many stripes an array has unless told."""
        return stripes_for(rows, nbytes)

    def check(self, description: Any) -> None:
        """Refuse what cannot be on several nodes."""
        if description.file is not None:
            raise ValueError(f"array {description.name!r} cannot be in a file: its team is on several nodes")


def _result(task: Task, worker: Worker) -> Report:
    enter_worker(worker)
    try:
        return Report(task.function(worker, *task.args))
    except SystemExit as request:
        if isinstance(request, Stopped) or request.code not in (None, 0):
            raise
        return Report()


def _failed(error: BaseException, barrier: Barrier) -> Report:
    if isinstance(error, Stopped):
        return _stopped(error)
    report = Report.of_exception(error)
    if not report.is_consequence:
        barrier.fail()
    return report


def _stopped(error: Stopped) -> Report:
    return Report(STOPPED, "the run was stopped", "", None, True)
