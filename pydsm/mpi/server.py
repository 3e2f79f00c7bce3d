"""The server of a node: takes what comes for its homes and for the runs of its workers, and never waits.

Rank 0 is the server of its node whenever it waits: in `Team.run`, and while arrays are made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydsm import schedule
from pydsm.core import names
from pydsm.core.layout import Description, Slot, Team
from pydsm.errors import NameExistsError, NoRoomError
from pydsm.ipc import shm
from pydsm.mpi.committed import SMALL, promised
from pydsm.mpi.guard import Reaper
from pydsm.mpi.home import Home
from pydsm.mpi.messages import Answer, Request, read, release
from pydsm.mpi.node import Node
from pydsm.mpi.nodes import Crew, Nodes
from pydsm.mpi.replica import Replica
from pydsm.mpi.world import EAGER, SERVER, WORKER, Patience, World
from pydsm.native import Desk
from pydsm.sync import datasegment, locksegment
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace

__all__ = ["Served", "Server"]

_BEAT_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.02
_LONGEST: Final = 0.001
_LONGEST_BUSY: Final = 0.0001
_Then = Callable[[list[Any]], None]


@dataclass(eq=False)
class Served:
    """A team, as the server of one of its nodes has it."""

    namespace: Namespace
    crew: Crew
    index: int
    node: Node | None = None
    home: Home | None = None
    running: set[int] = field(default_factory=set)
    """Workers of this node that have not ended yet."""
    run: int = 0


class Server:
    """The server that this process is.

    Parameters
    ----------
    world : World
    nodes : Nodes
    pids : sequence of int
        The process of each rank.
    reaper : Reaper
        Who takes the names back if all ranks of the node are killed.
    """

    def __init__(self, world: World, nodes: Nodes, pids: Sequence[int], reaper: Reaper) -> None:
        self.world, self.nodes, self._pids, self.reaper = world, nodes, pids, reaper
        self.workers = next(ranks for ranks in nodes.ranks if ranks[0] == world.rank)[1:]
        self.teams: dict[int, Served] = {}
        self._desks: dict[int, Desk] = {}
        self.over = False
        self.on_report: Callable[[tuple[Any, ...]], None] = lambda message: None
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self._asked: dict[int, tuple[dict[int, Any], int, _Then]] = {}
        self._tickets = 0
        self._patience = Patience(_LONGEST)
        self._busy = False
        self.eager = self._eager_until = 0.0
        self._next_watch = self._next_beat = 0.0
        self._can: dict[str, Callable[..., Any]] = {
            "room": self._room,
            "create": self._create,
            "remove": self._remove,
            "close": self._close,
            "count": self._count,
        }
        self._do: dict[str, Callable[..., None]] = {
            "open": self._open,
            "ask": self._answer_parent,
            "told": self._take_told,
            "run": self._run,
            "done": self._done,
            "left": self._left,
            "fail": self._fail,
            "halt": self._halt,
            "bye": self._bye,
            "report": lambda message: self.on_report(message),
        }

    # -- the loop ------------------------------------------------------------------------

    def step(self, eager: float = 0.0) -> bool:
        """Take one message, if there is one or one comes soon, and try again what waits; say whether anything was done.

        Parameters
        ----------
        eager : float
            Seconds to look for one, if nothing waits that may be possible without one.
        """
        until = 0.0 if self._busy else self._next_watch  # with something waiting, each message may be what it waits for
        count, found = self.world.packed.serve(SERVER, 0.0 if self._busy else eager, until, self._desks)
        if found is not None:
            self._take(read(*found))
        busy, done = False, bool(count or found)
        for served in self.teams.values():
            if served.home is not None and served.home.is_busy:
                busy = True
                done |= served.home.turn()
        now = time.monotonic()
        if now >= self._next_watch:
            self._next_watch = now + _WATCH_SECONDS
            self._watch(now)
        self._busy = busy
        self._patience.longest = _LONGEST_BUSY if busy else _LONGEST
        return done

    def rest(self, *, idle: bool) -> None:
        """Let others run between two steps."""
        if not idle:
            self._patience.reset()
            self.eager = EAGER
            self._eager_until = time.monotonic() + EAGER
        elif self._busy and time.monotonic() < self._eager_until:
            os.sched_yield()
        else:
            self._patience.wait()
            self.eager = 0.0

    def serve(self, until: Callable[[], bool]) -> None:
        """Serve until something is so."""
        while not until():
            self.rest(idle=not self.step(self.eager))

    def _take(self, message: Any) -> None:
        if isinstance(message, Request):
            served = self.teams.get(message.team)
            if served is not None and served.home is not None:
                served.home.take(message)
        elif isinstance(message, Answer):
            self.on_answer(message)
        elif message[0] in self._do:
            self._do[message[0]](*message[1:])
        else:
            self.on_report(message)

    # -- what parents ask of all nodes ------------------------------------------------------

    def ask_all(self, team: int, what: str, args: tuple[Any, ...], then: _Then) -> None:
        """On node 0: let every node do something; `then` gets what each returns or raises."""
        crew = self.teams[team].crew
        self._tickets += 1
        ticket = self._tickets
        self._asked[ticket] = ({}, crew.nodes, then)
        for server in crew.servers[1:]:
            self.world.send(server, SERVER, ("ask", ticket, team, what, args))
        self._take_told(ticket, 0, self._attempt(team, what, args))

    def _answer_parent(self, ticket: int, team: int, what: str, args: tuple[Any, ...]) -> None:
        index = self.teams[team].index
        self.world.send(0, SERVER, ("told", ticket, index, self._attempt(team, what, args)), wait=False)

    def _attempt(self, team: int, what: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._can[what](team, *args)
        except Exception as error:
            return error

    def _take_told(self, ticket: int, node: int, value: Any) -> None:
        told, count, then = self._asked[ticket]
        told[node] = value
        if len(told) == count:
            del self._asked[ticket]
            then([told[node] for node in range(count)])

    # -- arrays -------------------------------------------------------------------------------

    def make(self, team: int, description: Description, stripes: int, then: Callable[[Exception | None], None]) -> None:
        """On node 0: make an array or a lock on all nodes, or on none."""
        served = self.teams[team]
        if shm.exists(names.lock_name(served.namespace.name, description.name)):
            then(
                NameExistsError(
                    f"name {description.name!r} is taken already in namespace {served.namespace.known_as!r}"
                )
            )
            return
        number = served.namespace.words.load(Team.NEXT_ID)
        size = _nbytes(description)

        def created(values: list[Any]) -> None:
            errors = [value for value in values if isinstance(value, Exception)]
            if errors:
                self.ask_all(team, "remove", (description.name,), lambda _: then(errors[0]))
            else:
                then(None)

        def checked(values: list[Any]) -> None:
            short = [node for node, free in enumerate(values) if isinstance(free, Exception)]
            if short:
                problem = values[short[0]]
                text = f"array {description.name!r} of {size} bytes has no room on node {short[0]}: {problem}"
                then(NoRoomError(text, wanted=size, free=getattr(problem, "free", 0)))
            else:
                self.ask_all(team, "create", (description, stripes, number), created)

        self.ask_all(team, "room", (2 * size if description.shape else 0,), checked)

    def _room(self, team: int, size: int) -> None:
        """Refuse what has no room besides all that was promised before."""
        files = [
            file
            for served in self.teams.values()
            if served.node is not None
            for replica in served.node.replicas.values()
            for file in (
                names.data_name(served.namespace.name, replica.name),
                *Replica.files(served.namespace, replica.name),
            )
        ]
        already = promised(files) if size > SMALL else 0
        try:
            shm.check_room(size + already)
        except NoRoomError as error:
            text = f"with its twin it takes {size}, {already} are promised to other arrays, {error.free} are free"
            raise NoRoomError(text, wanted=size, free=error.free) from None

    def _create(self, team: int, description: Description, stripes: int, number: int) -> None:
        served = self.teams[team]
        namespace = served.namespace
        with namespace.creating():
            namespace.words.store(Team.NEXT_ID, number)
            size = 0
            if description.shape:
                lazy = _nbytes(description) >= SMALL
                size = datasegment.create(namespace.name, description, namespace.permissions, lazy=lazy).nbytes
                Replica.make(namespace, description, size, stripes)
            header, locks = locksegment.create(namespace, description, stripes)
        assert served.node is not None
        assert served.home is not None
        served.home.locks[header.array_id] = locks
        if description.shape:
            served.node.add(description, header.array_id, stripes)
        served.node.made[0] += 1

    def _remove(self, team: int, name: str) -> bool:
        served = self.teams[team]
        namespace = served.namespace
        with namespace.creating():
            found = shm.unlink(names.lock_name(namespace.name, name))
            found |= shm.unlink(names.data_name(namespace.name, name))
            for file in Replica.files(namespace, name):
                shm.unlink(file)
        if served.node is not None and served.home is not None:
            replica = served.node.by_name.get(name)
            if replica is not None:
                served.home.forget(replica.array_id)
                served.node.forget(replica.array_id)
            served.node.made[0] += 1
        return found

    # -- teams ----------------------------------------------------------------------------------

    def add(self, team: int, served: Served) -> None:
        """Serve a team."""
        self.teams[team] = served
        self.reaper.tell(f"names {served.namespace.name}")
        if served.crew.nodes > 1:
            Node.make(served.namespace, served.crew)
            served.node = Node(served.namespace, served.crew, served.index)
            served.home = Home(self.world, served.node, self._make_for(team), self._drop_for(team))
            self._desks[team] = served.home.desk
            served.home.on_leftovers = lambda sentences: self._report(("leftovers", team, sentences))

    def _open(self, team: int, name: str, crew: Crew, index: int, mode: int) -> None:
        namespace = Namespace.create(f"{name}-n{index}", size=crew.counts[index], mode=mode)
        namespace.known_as = name
        self.add(team, Served(namespace, crew, index))

    def _make_for(self, team: int) -> Callable[[Request], None]:
        def make(request: Request) -> None:
            description, stripes = request.body
            self.make(team, description, stripes, lambda error: self._reply(team, request, error))

        return make

    def _drop_for(self, team: int) -> Callable[[Request], None]:
        def drop(request: Request) -> None:
            self.ask_all(team, "remove", request.body, lambda found: self._reply(team, request, None, any(found)))

        return drop

    def _reply(self, team: int, request: Request, error: Exception | None, content: Any = None) -> None:
        home = self.teams[team].home
        assert home is not None
        if error is None:
            home.answer(request, content)
        else:
            home.refuse(request, error)

    def _close(self, team: int) -> None:
        served = self.teams.pop(team, None)
        self._desks.pop(team, None)
        if served is not None:
            for worker in served.crew.workers[served.index]:
                self.world.send(worker, WORKER, ("close", team), wait=False)
            served.namespace.close()
            self.reaper.tell(f"forget {served.namespace.name}")

    def _count(self, team: int) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many messages of each kind this server has sent so far, and how many bytes."""
        return dict(self.world.messages), dict(self.world.bytes)

    def _bye(self) -> None:
        for team in list(self.teams):
            self._close(team)
        self.over = True

    # -- runs -----------------------------------------------------------------------------------

    def _run(self, team: int, run: int, told: list[int], content: bytes) -> None:
        served = self.teams[team]
        served.run = run
        namespace, ranks = served.namespace, served.crew.workers[served.index]
        first = served.crew.first(served.index)
        if served.index:
            Barrier(namespace).reset()
            schedule.reset(namespace)
            for slot in range(len(ranks)):
                for word in (Slot.DONE, Slot.TOTAL, Slot.BARRIER, Slot.SHARES):
                    namespace.slots.set(slot, word, 0)
        if served.home is not None:
            served.home.begin_run()
        served.running = {first + place for place in range(len(ranks))}
        for place, rank in enumerate(ranks):
            task = ("task", team, run, first + place, served.crew, served.index, namespace.name, told, content)
            self.world.send(rank, WORKER, task, wait=False)
        if not ranks:
            self._end(team, served)

    def _done(self, team: int, run: int, worker: int, left: tuple[int, list[int]], content: bytes) -> None:
        """Hear that a worker of this node has ended; when all have, tell the homes what they wrote."""
        served = self.teams[team]
        served.running.discard(worker)
        self._report(("done", team, run, worker, left, content))
        if not served.running:
            self._end(team, served)

    def _end(self, team: int, served: Served) -> None:
        """Tell the homes what the workers of this node have written, and rank 0 how much that was."""
        told = []
        if served.node is not None:
            served.node.know_all()
            served.node.publish(served.node.everywhere(), self._push_for(team, served))
            told = served.node.sent()
        self._report(("ended", team, served.run, served.index, told))

    def _push_for(self, team: int, served: Served) -> Callable[[int, int, bytes], None]:
        def push(home: int, number: int, content: bytes) -> None:
            message = release(team, served.index, self.world.rank, number, content)
            self.world.packed.send(served.crew.servers[home], SERVER, "push", message)

        return push

    def _report(self, message: tuple[Any, ...]) -> None:
        """Tell rank 0."""
        if self.world.rank == 0:
            self.on_report(message)
        else:
            self.world.send(0, SERVER, ("report", message), wait=False)

    def _left(self, team: int, worker: int, barriers: int, told: list[int]) -> None:
        """Hear that a worker has ended: when all that it has told is here, what it holds still is taken back."""
        served = self.teams[team]
        if served.home is not None:
            needs = {served.crew.node_of(worker): told[served.index]} if told else {}
            served.home.take(Request("left", team, 0, 0, needs, (0, SERVER), 0, (worker, barriers)))

    def _fail(self, team: int) -> None:
        Barrier(self.teams[team].namespace).fail()

    def _halt(self, team: int) -> None:
        """Stop the workers of this node that have not ended."""
        served = self.teams[team]
        first = served.crew.first(served.index)
        for worker in served.running:
            rank = served.crew.workers[served.index][worker - first]
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pids[rank], signal.SIGTERM)

    # -- who is alive ------------------------------------------------------------------------------

    def _watch(self, now: float) -> None:
        """Look who has died, and tell rank 0 that this node lives."""
        if (rank := self.reaper.first_dead()) is not None:
            self._report(("died", rank, self._pids[rank]))
        if self.world.rank and now >= self._next_beat and any(served.running for served in self.teams.values()):
            self._next_beat = now + _BEAT_SECONDS
            self._report(("beat", self.world.rank))


def _nbytes(description: Description) -> int:
    if not description.shape:
        return 0
    size = description.numpy_dtype().itemsize
    for extent in description.shape:
        size *= extent
    return size
