"""Which rank is on which node, and what it does there.

A *node* is a set of ranks with a memory in common.  Its first rank is its *server*; rank 0 is that of its node
and runs the program besides, whose code never runs while a server has to answer.  All other ranks are *workers*,
numbered node by node, so that the workers of a node have neighbouring ranks in a team.

``PYDSM_MPI_NODES="0,1,2|3,4,5"`` pretends that ranks of one machine are on several: then they have nothing in
common but messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Crew", "Nodes"]


@dataclass(frozen=True, slots=True)
class Crew:
    """The ranks that work for one team.

    Attributes
    ----------
    servers : tuple of int
        The rank that serves each of the nodes.
    workers : tuple of tuple of int
        The ranks that work on each of the nodes.
    """

    servers: tuple[int, ...]
    workers: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """How many workers there are."""
        return sum(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many workers each node has."""
        return tuple(map(len, self.workers))

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.servers)

    def first(self, node: int) -> int:
        """Return the number of a node's first worker."""
        return sum(self.counts[:node])

    def node_of(self, worker: int) -> int:
        """Return the node of a worker, by its number.

        Examples
        --------
        >>> crew = Crew((0, 3), ((1, 2), (4, 5)))
        >>> [crew.node_of(worker) for worker in range(crew.size)]
        [0, 0, 1, 1]
        """
        for node, count in enumerate(self.counts):
            worker -= count
            if worker < 0:
                return node
        raise IndexError(f"there are {self.size} workers, and none {worker + self.size}")

    def rank_of(self, worker: int) -> int:
        """Return the rank of a worker, by its number."""
        return [rank for ranks in self.workers for rank in ranks][worker]


@dataclass(frozen=True, slots=True)
class Nodes:
    """All ranks of the job, by node; the node of rank 0 comes first."""

    ranks: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, groups: Iterable[Iterable[int]]) -> Nodes:
        """Return the nodes that have these ranks."""
        return cls(tuple(sorted(tuple(sorted(group)) for group in groups)))

    @classmethod
    def read(cls, text: str, size: int) -> Nodes:
        """Read which nodes to pretend.

        Examples
        --------
        >>> Nodes.read("0,1|2,3", 4).ranks
        ((0, 1), (2, 3))
        """
        try:
            groups = [[int(rank) for rank in group.split(",")] for group in text.split("|")]
        except ValueError:
            groups = []
        if sorted(rank for group in groups for rank in group) != list(range(size)):
            raise ValueError(
                f"PYDSM_MPI_NODES names each of the ranks 0 to {size - 1} once, as in '0,1|2,3', not {text!r}"
            )
        return cls.of(groups)

    @property
    def available(self) -> int:
        """How many workers a team can have."""
        return sum(len(ranks) - 1 for ranks in self.ranks)

    def server_of(self, rank: int) -> int:
        """Return the rank that serves a rank's node."""
        return next(ranks[0] for ranks in self.ranks if rank in ranks)

    def crew(self, size: int | None) -> Crew:
        """Return who works for a team of that many workers (None: all): the first so many.

        Raises
        ------
        ValueError
            There are not that many.
        """
        if not self.available:
            raise ValueError(
                f"this MPI job has {sum(map(len, self.ranks))} ranks on {len(self.ranks)} nodes and no worker: the "
                "first rank of each node serves it, so start at least two on one of them"
            )
        wanted = self.available if size is None else size
        if wanted > self.available:
            total = sum(map(len, self.ranks))
            who = "one" if len(self.ranks) == 1 else f"one on each of {len(self.ranks)} nodes"
            raise ValueError(
                f"a team of {wanted} workers is asked for, and this MPI job has {self.available}: of its {total} ranks "
                f"{who} serves"
            )
        servers: list[int] = []
        workers: list[tuple[int, ...]] = []
        for ranks in self.ranks:
            if wanted or not servers:
                servers.append(ranks[0])
                workers.append(ranks[1 : 1 + wanted])
                wanted -= len(workers[-1])
        while len(servers) > 1 and not workers[-1]:
            servers.pop()
            workers.pop()
        return Crew(tuple(servers), tuple(workers))
