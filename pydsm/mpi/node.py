"""What the processes of one node share for one team: replicas, and the numbers of what was sent.

**Order.**  All that a node tells one home is numbered, whichever worker sends it: number and twin change together
inside the home's latch, and the home takes messages in the order of their numbers, although those of different
ranks may arrive in any order.  Whatever else a worker asks of the home says how many messages the home must have
had before (*needs*).  So a worker that finds its write told by a sibling need not wait for the sibling: what it
does next comes to the home behind it.  (It is causal delivery; Birman, Schiper and Stephenson, *Lightweight
causal and atomic group multicast*, 1991, with one counter for a node because its members share a memory.)

Nobody is stopped between drawing a number and sending its message: a number that is never sent would stop its home.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.ipc import segment
from pydsm.mpi.homes import Homes
from pydsm.mpi.nodes import Crew
from pydsm.mpi.replica import Block, Known, Replica, Some
from pydsm.mpi.stopping import whole
from pydsm.native import HELD, Lines, Twins, lines_for
from pydsm.sync import locksegment
from pydsm.sync.namespace import Namespace

__all__ = ["Node", "parts_of"]

_WORD: Final = np.dtype(np.uint64)
_PART: Final = 16  # bytes before each part of a message: the array's id, the length

Post = Callable[[int, int, bytes], None]
"""Sends a numbered message: to which home, its number, and what it brings."""


def parts_of(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the parts of a message: of which array, and its bytes."""
    at = 0
    while at < len(content):
        array_id, length = (int.from_bytes(content[at + place : at + place + 8], "little") for place in (0, 8))
        yield array_id, content[at + _PART : at + _PART + length]
        at += _PART + length


class Node:
    """One team's state on one node, as one of its processes sees it."""

    def __init__(self, namespace: Namespace, crew: Crew, index: int) -> None:
        self.namespace, self.crew, self.index = namespace, crew, index
        self.replicas: dict[int, Replica] = {}
        self.twins: dict[int, Twins] = {}
        self.by_name: dict[str, Replica] = {}
        words = segment.attach(names.observe_name(namespace.name, "mpi"), _WORD)
        self.lines = Lines(words[: lines_for(crew.nodes)])
        self.made = words[lines_for(crew.nodes) :]
        """How many arrays and locks were made or removed."""
        self.others = [node for node in range(crew.nodes) if node != index]
        self._seen_made = -1

    @staticmethod
    def make(namespace: Namespace, crew: Crew) -> None:
        """Make what the processes of a node share; its server does."""
        size = lines_for(crew.nodes) + 1
        segment.create(names.observe_name(namespace.name, "mpi"), (size,), _WORD, **namespace.permissions)

    def sent(self) -> list[int]:
        """Return how many messages each home was told by this node."""
        return [self.lines.sent(home) for home in range(self.crew.nodes)]

    # -- arrays -----------------------------------------------------------------------

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
            self.twins[array_id] = replica.twins
        return replica

    def know_all(self) -> None:
        """Know all arrays that there are by now, and forget those that were removed."""
        if int(self.made[0]) == self._seen_made:
            return
        self._seen_made = int(self.made[0])
        found = []
        for name in self.namespace.known():
            with contextlib.suppress(OSError, KeyError):
                header = locksegment.attach(self.namespace, name)[0]
                if header.description.shape:
                    found.append(header)
        for array_id in set(self.replicas) - {header.array_id for header in found}:
            self.forget(array_id)
        for header in found:
            self.add(header.description, header.array_id, header.stripes)

    def forget(self, array_id: int) -> None:
        """Know an array no more; another one may have its name by now."""
        replica = self.replicas.pop(array_id, None)
        self.twins.pop(array_id, None)
        if replica is not None and self.by_name.get(replica.name) is replica:
            del self.by_name[replica.name]

    # -- out ----------------------------------------------------------------------------

    def everywhere(self, share: int = 0, of: int = 1) -> dict[int, list[Some]]:
        """Return all stripes of all arrays by home, or one of so many shares of them; for `publish`."""
        found: dict[int, list[Some]] = {}
        for replica in list(self.replicas.values()):
            stripes = replica.homes.stripes
            first, stop = stripes * share // of, stripes * (share + 1) // of
            for home in range(self.crew.nodes):
                there = replica.homes.of_node(home)
                begin, end = max(first, there.start), min(stop, there.stop)
                if begin < end:
                    found.setdefault(home, []).append((replica.twins, begin, end))
        return found

    def publish(self, wanted: dict[int, list[Some]], post: Post) -> None:
        """Make known what was written here: to the homes by message, at home by new versions.

        Parameters
        ----------
        wanted : dict of int to list
            Where to look, by home.
        post : callable
            Sends one message.
        """
        for home, parts in wanted.items():
            parts = self.existing(parts)
            if home == self.index:
                self.lines.note(home, parts)
                continue
            for piece in _pieces(parts):
                with whole():
                    number, content = self.lines.tell(home, piece)
                    if number:
                        post(home, number, content)

    def existing(self, parts: list[Some]) -> list[Some]:
        """Return those stripes of parts that were ever touched: others have not changed, and to look costs memory."""
        found: list[Some] = []
        for part in parts:
            replica = self.replicas.get(part[0].array_id)
            committed = None if replica is None else replica.committed
            if committed is None or len(part) != 3:
                found.append(part)
            else:
                found += [(part[0], first, stop) for first, stop in committed.within([part[1:]])]
        return found

    # -- in -------------------------------------------------------------------------------

    def known(self, home: int) -> list[Known]:
        """Return which versions this node has of the stripes of a home, of all arrays."""
        found = []
        for replica in list(self.replicas.values()):
            stripes = replica.homes.of_node(home)
            if stripes:
                found.append((replica.array_id, replica.twins.wish(stripes.start, stripes.stop)))
        return found

    def collect(self, known: Iterable[Known]) -> list[Block]:
        """At home: return the stripes that are newer than what another node has."""
        blocks = []
        for array_id, wish in known:
            replica = self.replicas.get(array_id)
            if replica is not None and (block := replica.twins.collect(self.lines, self.index, wish)):
                blocks.append((array_id, block))
        return blocks

    def merge(self, home: int, applied: int, blocks: Iterable[Block]) -> list[tuple[int, list[int]]]:
        """Bring in what a home answered; return the stripes of which that was too old."""
        self.lines.hear(home, applied)
        old = []
        for array_id, block in blocks:
            replica = self.replicas.get(array_id)
            if replica is not None and (stripes := replica.twins.merge(self.lines, home, block, applied)):
                old.append((array_id, stripes))
        return old

    def receive(self, content: memoryview) -> None:
        """At home: bring in what another node told."""
        for array_id, diff in parts_of(content):
            replica = self.replicas.get(array_id)
            if replica is not None:
                replica.twins.receive(self.lines, self.index, diff)


def _pieces(parts: list[Some]) -> Iterator[list[Some]]:
    """Yield where something was written: much at once, but nothing that keeps others waiting for the latch for long."""
    piece: list[Some] = []
    held = 0
    for part in parts:
        twins = part[0]
        runs = twins.changed(part[1], part[2]) if len(part) == 3 else [part[1:]]
        for run in runs:
            piece.append((twins, *run))
            held += twins.held(*run)
            if held >= HELD:
                yield piece
                piece, held = [], 0
    if piece:
        yield piece
