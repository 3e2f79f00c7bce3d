"""What the processes of one node share for one team: replicas, and the numbers of what was sent.

**Order.**  All that a node tells one home is numbered, whichever worker sends it: number and twin change together
inside the lock `merging`, and the home takes messages in the order of their numbers, although those of different
ranks may arrive in any order.  Whatever else a worker asks of the home says how many messages the home must have
had before (*after*).  So a worker that finds its write told by a sibling need not wait for the sibling: what it
does next comes to the home behind it.  (It is causal delivery; Birman, Schiper and Stephenson, *Lightweight
causal and atomic group multicast*, 1991, with one counter for a node because its members share a memory.)

Nobody is stopped between drawing a number and sending its message: a number that is never sent would stop its home.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.diff import Diff, Spans
from pydsm.core.layout import Description, LockHeader
from pydsm.ipc import segment
from pydsm.mpi.homes import Homes
from pydsm.mpi.nodes import Crew
from pydsm.mpi.replica import Block, Known, Part, Replica
from pydsm.mpi.stopping import whole
from pydsm.sync import locksegment
from pydsm.sync.lock import Lock, attach_lock, create_lock
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MERGING", "Node"]

MERGING: Final = ".merging"
_WORD: Final = np.dtype(np.uint64)

Post = Callable[[int, int, list[Part]], None]
"""Sends a numbered message: to which home, its number, and what it brings."""


class Node:
    """One team's state on one node, as one of its processes sees it."""

    def __init__(self, namespace: Namespace, crew: Crew, index: int) -> None:
        self.namespace, self.crew, self.index = namespace, crew, index
        self.replicas: dict[int, Replica] = {}
        self.by_name: dict[str, Replica] = {}
        words = segment.attach(names.observe_name(namespace.name, "mpi"), _WORD)
        self.sent, self.acked = words[: crew.nodes], words[crew.nodes : 2 * crew.nodes]
        self.made = words[2 * crew.nodes :]
        """How many arrays and locks were made or removed."""
        self._lock: Lock = attach_lock(namespace.name, MERGING, Lock)
        self._seen_made = -1

    @staticmethod
    def make(namespace: Namespace, crew: Crew) -> None:
        """Make what the processes of a node share; its server does."""
        segment.create(names.observe_name(namespace.name, "mpi"), (2 * crew.nodes + 1,), _WORD, **namespace.permissions)
        create_lock(namespace, MERGING)

    @property
    def others(self) -> list[int]:
        """The other nodes."""
        return [node for node in range(self.crew.nodes) if node != self.index]

    @contextlib.contextmanager
    def merging(self) -> Iterator[None]:
        """Be the only process of the node that changes twins and draws numbers."""
        with self._lock, whole():
            yield

    # -- arrays -----------------------------------------------------------------------

    def homes_of(self, header: LockHeader) -> Homes:
        """Return the homes of an array's stripes, or of a named lock."""
        return Homes(header.stripes, self.crew.counts)

    def home_of_lock(self, array_id: int) -> int:
        """Return the home of a named lock: they go round."""
        return self.crew.node_of(array_id % self.crew.size)

    def add(self, description: Description, array_id: int, stripes: int) -> Replica:
        """Know an array that this process maps."""
        replica = self.replicas.get(array_id)
        if replica is None:
            homes = Homes(stripes, self.crew.counts)
            replica = Replica(self.namespace, description, array_id, homes, self.index)
            self.replicas[array_id] = self.by_name[description.name] = replica
        return replica

    def know_all(self) -> None:
        """Know all arrays that there are by now, and forget those that were removed."""
        if int(self.made[0]) == self._seen_made:
            return
        self._seen_made = int(self.made[0])
        found = {}
        for name in self.namespace.known():
            with contextlib.suppress(OSError, KeyError):
                header = locksegment.attach(self.namespace, name)[0]
                if header.description.shape:
                    self.add(header.description, header.array_id, header.stripes)
                    found[header.array_id] = name
        for array_id in set(self.replicas) - set(found):
            self.forget(self.replicas[array_id].name)

    def forget(self, name: str) -> None:
        """Know an array no more."""
        replica = self.by_name.pop(name, None)
        if replica is not None:
            self.replicas.pop(replica.array_id, None)

    # -- out ----------------------------------------------------------------------------

    def publish(self, wanted: Iterable[tuple[Replica, Spans | None]], post: Post, always: Iterable[int] = ()) -> None:
        """Make known what was written here: to the homes by message, at home by new versions.

        Parameters
        ----------
        wanted : iterable of replica and spans
            Where to look; spans of None mean everywhere.
        post : callable
            Sends one message, to each home that has to be told something.
        always : iterable of int
            Homes that get a message in any case.
        """
        found = [(replica, diff) for replica, spans in wanted if len(diff := replica.changes(spans))]
        told: dict[int, list[tuple[Replica, Diff]]] = {home: [] for home in always}
        with self.merging():  # though nothing was found: a sibling may be just about to tell what is mine
            for replica, diff in found:
                for home, part in replica.still_changed(diff):
                    told.setdefault(home, []).append((replica, part))
            for replica, diff in told.pop(self.index, []):
                replica.mark_told(diff, 0)
            for home, parts in told.items():
                number = int(self.sent[home]) + 1
                self.sent[home] = number  # before the versions: who reads those, then this, asks for enough
                for replica, diff in parts:
                    replica.mark_told(diff, number)
                post(home, number, [replica.write(diff) for replica, diff in parts])

    def everything(self) -> list[tuple[Replica, Spans | None]]:
        """Return all arrays, for `publish`."""
        return [(replica, None) for replica in list(self.replicas.values())]

    # -- in -------------------------------------------------------------------------------

    def known(self, home: int) -> list[Known]:
        """Return which versions this node has of the stripes of a home, of all arrays."""
        found = []
        for replica in list(self.replicas.values()):
            stripes = replica.homes.of_node(home)
            if stripes:
                found.append(replica.known(stripes))
        return found

    def collect(self, known: Iterable[Known]) -> list[Block]:
        """At home: return the stripes that are newer than what another node has."""
        blocks = []
        for array_id, stripes, versions in known:
            replica = self.replicas.get(array_id)
            if replica is not None:
                which = np.arange(stripes.start, stripes.stop) if isinstance(stripes, range) else stripes
                blocks.append(replica.collect(which, versions))
        return [block for block in blocks if block is not None]

    def merge(self, home: int, applied: int, blocks: Iterable[Block]) -> list[tuple[int, NDArray[Any]]]:
        """Bring in what a home answered; return the stripes of which that was too old."""
        old = []
        with self.merging():
            self.acked[home] = max(int(self.acked[home]), applied)
            for block in blocks:
                replica = self.replicas.get(block[0])
                if replica is not None and len(stripes := replica.merge(block, applied)):
                    old.append((block[0], stripes))
        return old

    def receive(self, parts: Iterable[Part]) -> None:
        """At home: bring in what another node pushed."""
        with self.merging():
            for part in parts:
                replica = self.replicas.get(part[0])
                if replica is not None:
                    replica.receive(part)
