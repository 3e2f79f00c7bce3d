"""The teaching memories: each worker has a replica, and sees no write before it has to.

**Release** (lazy release consistency; Keleher, Cox and Zwaenepoel, *Lazy release consistency for
software distributed shared memory*, 1992; TreadMarks, 1994).  A worker writes its own replica.  When
it releases anything, what it wrote since is found by comparing with the twin (`core.diff`) and
published as an *interval* with its vector clock (`core.clock`); who acquires what was
released joins the clock and applies exactly the intervals that it newly covers, in causal
order.  **Entry** (Midway; Bershad, Zekauskas and Sawdon, *The Midway distributed shared memory
system*, 1993) publishes and applies the rows of the region alone.

So a program that keeps the rule of docs/memory-model.md has its right result, and one that
does not has its wrong one whenever its workers synchronise in the same order, not once in
a while.  What TreadMarks sends from process to process stands here in one log in shared
memory (`memory.log`), which everybody reads at an acquire; what is not covered is left
aside.  No page is protected and no fault is handled: the diff compares the pages that the
kernel says are this process's own (`memory.replica`).

**Barriers.**  All publish and meet; one brings the epoch's writes home, in the line of all
intervals that their clocks give (`clock.order`), and empties the log; all meet again, and
bring the same writes into their replicas.  Where writes race, the last in that line stays,
in all replicas and at home.  The join of a run does the same in the parent, for all that was
published: what a killed worker had not is never seen by anybody.

**Atomic operations** hold the log's lock, so they happen in its order.  Each first comes after
whoever published its element last, or left it as it is, and publishes everything at its end.

**Threads** of a worker share its replica and its clock.  One that synchronises while the worker
leaves a barrier waits until it has left: others may have left already.

**Limits.**  Only the team's workers have replicas: other processes, and threads of the parent
while it waits, see the home as it was at the last barrier or join, and must not write
meanwhile.  Neither must a child process that a worker forks: it has a copy of the replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pydsm.core.events import Instrument, Observer
from pydsm.memory.homes import bring_home, merged
from pydsm.memory.log import EventLog
from pydsm.memory.observer import ReplicaObserver
from pydsm.memory.scope import Policy

if TYPE_CHECKING:
    from pydsm.sync.namespace import Namespace

__all__ = ["ReplicaMemory", "instrument"]


def instrument(policy: str) -> Instrument:
    """Return the memory of a team that was asked for "release" or "entry"."""
    return ReplicaMemory(cast(Policy, policy))


class ReplicaMemory(Instrument):
    """The memory of a team whose workers have replicas.

    Parameters
    ----------
    policy : {"release", "entry"}
    """

    def __init__(self, policy: Policy) -> None:
        self.policy: Policy = policy
        self._namespace: Namespace | None = None
        self._log: EventLog | None = None

    def __getstate__(self) -> Policy:
        return self.policy

    def __setstate__(self, policy: Policy) -> None:
        self.__init__(policy)  # type: ignore[misc]

    def open(self, namespace: Namespace, size: int) -> None:
        """Make the log."""
        self._namespace, self._log = namespace, EventLog.create(namespace)

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Empty the log."""
        assert self._log is not None
        self._log.reset()

    def observer(self, namespace: Namespace, rank: int, size: int) -> Observer:
        """Return what keeps the replicas of a worker."""
        return ReplicaObserver(namespace, rank, size, self.policy)

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Bring home what was published since the last barrier."""
        assert self._namespace is not None
        assert self._log is not None
        with self._log:
            bring_home(self._namespace, merged(self._log.read(self._log.epoch)), {})
            self._log.reset()

    def close(self) -> None:
        """Leave the log."""
        if self._log is not None:
            self._log.close()
