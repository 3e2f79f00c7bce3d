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

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from pydsm.core.clock import tick
from pydsm.core.diff import Diff, positions_in
from pydsm.core.events import Atomic, Hold, Instrument, Observer
from pydsm.core.interval import Interval, Kind, Pass
from pydsm.core.layout import Team
from pydsm.memory.heard import Heard
from pydsm.memory.homes import bring_home, merged
from pydsm.memory.log import EventLog
from pydsm.memory.replica import Replica
from pydsm.memory.scope import EVERYTHING, Policy, Scope, scope_of_fence, scope_of_holds, spans_of
from pydsm.memory.telling import tell
from pydsm.native import locks_of

if TYPE_CHECKING:
    from pydsm.core.layout import Description
    from pydsm.sync.namespace import Namespace

__all__ = ["ReplicaMemory", "ReplicaObserver", "instrument"]

_SECONDS: Final = 0.02  # until the next look at whether the barrier is broken


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


class ReplicaObserver(Observer):
    """The replicas of one worker, and when they are brought in step."""

    rendezvous = True
    moves_data = True

    def __init__(self, namespace: Namespace, rank: int, size: int, policy: Policy) -> None:
        self._namespace, self._rank, self._policy = namespace, rank, policy
        self._log = EventLog(namespace)
        self._heard = Heard(rank, size)
        self._replicas: dict[int, Replica] = {}
        self._parts: dict[int, list[_Part]] = {}  # covered, but not yet applied
        self._due: dict[int, list[_Part]] = {}  # to be applied as soon as the array is mapped here
        self._epoch, self._place = 0, 0
        self._meeting: int | None = None  # the thread that is between `met` and `departed`
        self._mutex = threading.RLock()
        self._moved = threading.Condition(self._mutex)
        self._atomic = _Atomics()
        namespace.private_undo = True

    # -- arrays ------------------------------------------------------------------

    def mapped(self, root: Any, description: Description, array_id: int) -> None:
        """Let the array be a replica from now on."""
        if root.nbytes == 0:
            return
        with self._mutex:
            known = self._replicas.get(array_id)
            if known is not None:
                known.add(root)
                return
            with contextlib.suppress(FileNotFoundError):  # removed: it stays what it is
                self._replicas[array_id] = Replica(self._namespace, root, description, array_id)
                self._apply(array_id, self._due.pop(array_id, []))

    # -- regions and named locks -------------------------------------------------

    def acquired(self, holds: Sequence[Hold]) -> None:
        """See what came before, as far as the memory shows it."""
        with self._mutex:
            self._keep_step()  # who had the rows before may have left the barrier already
            self._hear()
            for hold in holds:
                self._heard.acquire(hold.array_id, hold.stripes, shared=hold.shared)
                for start, stop in spans_of(hold).tolist() if hold.array is not None else ():
                    self._heard.see_atomics(hold.array_id, start, stop)
            self._pull(scope_of_holds(self._policy, holds))

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        """Publish what was written."""
        passes = [
            Pass(Kind.SHARED if hold.shared else Kind.EXCLUSIVE, hold.array_id, hold.stripes)
            for hold in holds
            if len(hold.stripes)
        ]
        with self._mutex:
            self._publish(scope_of_holds(self._policy, holds), passes)

    # -- fences and atomic operations --------------------------------------------

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        """Publish, and see everything that is published."""
        scope = scope_of_fence(self._policy, array_id)
        with self._mutex:
            self._publish(scope)
            self._hear()
            self._heard.see_everything()
            self._pull(scope)

    def atomic_begins(self, atomic: Atomic) -> None:
        """Bring the elements, and all that came before them, up to date; nobody else does so until the end."""
        elements = atomic.elements
        self._mutex.acquire()
        try:
            self._begin_writing()
        except BaseException:
            self._mutex.release()
            raise
        self._atomic.begun.append(elements)
        self._hear()
        self._heard.see_elements(atomic.array_id, elements)
        self._pull(EVERYTHING)

    def atomic_ended(self, atomic: Atomic, *, failed: bool) -> None:
        """Publish what it left, and all that this worker wrote before."""
        if not self._atomic.begun:
            return
        elements = self._atomic.begun.pop()
        writes = atomic.writes and len(elements) > 0
        try:
            self._publish(EVERYTHING, [Pass(Kind.ATOMIC, atomic.array_id, elements)] if writes else ())
        finally:
            self._log.__exit__(None, None, None)
            self._mutex.release()
        if writes:
            self._wake_watchers(atomic.array, elements)

    def _wake_watchers(self, array: Any, elements: Any) -> None:
        """Wake who waits for an element, now that it can be seen."""
        locks = locks_of(array)
        table = locks.policy
        shape = table.description.shape
        stripe = None
        if len(elements) == 1:
            stripe = int(elements[0]) // max(1, int(np.prod(shape[1:]))) // table.description.block
        table.wake_watchers(locks, stripe)

    # -- barriers ----------------------------------------------------------------

    def arriving(self) -> None:
        """Publish everything."""
        with self._mutex:
            self._publish(EVERYTHING)

    def met(self) -> None:
        """Bring home what all have published, unless another worker has done so."""
        with self._mutex:
            self._meeting = threading.get_ident()
            with self._log:
                if self._log.epoch == self._epoch:
                    bring_home(self._namespace, merged(self._log.read(self._epoch)), self._replicas)
                    self._log.close_epoch()

    def departed(self) -> None:
        """Have what is at home."""
        with self._mutex:
            self._depart()

    def _depart(self) -> None:
        self._hear()
        self._heard.next_epoch()
        self._parts.clear()
        self._due.clear()
        for array_id, diff in merged(self._log.read(self._epoch)).items():
            if array_id in self._replicas:
                self._replicas[array_id].pull(diff)
        self._epoch, self._place = self._epoch + 1, 0
        self._meeting = None
        self._moved.notify_all()

    # -- the end -----------------------------------------------------------------

    def end(self, *, failed: bool) -> None:
        """Publish everything: the parent brings it home."""
        with self._mutex:
            self._publish(EVERYTHING)

    # -- pushing -----------------------------------------------------------------

    def _publish(self, scope: Scope, passes: Sequence[Pass] = ()) -> None:
        """Append an interval with what this worker wrote, and say to whom it passes its clock on."""
        with self._writing():
            diffs = self._changes(scope)
            if not diffs and not passes:
                return
            clock = self._heard.clock
            if diffs:
                tick(clock, self._rank)
            number = int(clock[self._rank]) if diffs else 0
            interval = Interval(self._rank, number, clock.copy(), passes, diffs)
            self._log.append(interval.to_bytes({array_id: self._replicas[array_id].itemsize for array_id in diffs}))
        for array_id, diff in diffs.items():
            self._replicas[array_id].published(diff)
            tell("push", self, self._replicas[array_id], diff, interval)

    def _changes(self, scope: Scope) -> dict[int, Diff]:
        found = {}
        for array_id, replica in self._replicas.items():
            if scope is EVERYTHING or array_id in scope:
                diff = replica.changes(None if scope is EVERYTHING else scope[array_id])
                if len(diff):
                    found[array_id] = diff
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._begin_writing()
        try:
            yield
        finally:
            self._log.__exit__(None, None, None)

    def _begin_writing(self) -> None:
        """Be the one who appends, to the epoch that this worker is in."""
        while True:
            self._keep_step()
            self._log.__enter__()
            if self._log.epoch == self._epoch:
                return
            self._log.__exit__(None, None, None)

    def _keep_step(self) -> None:
        """Wait until this worker is in the epoch that is not closed.

        If it is not, all have met in a barrier, and this is another thread of this worker; or
        the barrier broke then, and nobody leaves it.
        """
        while self._log.epoch != self._epoch:
            if self._meeting == threading.get_ident() or self._namespace.words.load(Team.BROKEN):
                self._depart()
            else:
                self._moved.wait(_SECONDS)

    # -- pulling -----------------------------------------------------------------

    def _hear(self) -> None:
        content = self._log.read(self._epoch, self._place)
        if content:
            self._place += len(content)
            self._heard.read(content)

    def _pull(self, scope: Scope) -> None:
        """Apply what this worker has come after, as far as it is in the scope."""
        for interval in self._heard.newly_covered():
            for array_id, diff in interval.diffs.items():
                self._parts.setdefault(array_id, []).append(_Part(interval, diff))
        for array_id in (
            list(self._parts) if scope is EVERYTHING else [known for known in scope if known in self._parts]
        ):
            parts = self._parts.pop(array_id)
            spans = None if scope is EVERYTHING else scope[array_id]
            if spans is not None:
                rest = [part.within(spans, inside=False) for part in parts]
                self._parts[array_id] = [part for part in rest if len(part.diff)]
                parts = [part.within(spans, inside=True) for part in parts]
            if array_id in self._replicas:
                self._apply(array_id, parts)
            else:
                self._due.setdefault(array_id, []).extend(parts)

    def _apply(self, array_id: int, parts: Sequence[_Part]) -> None:
        replica = self._replicas[array_id]
        for part in sorted(parts, key=lambda part: part.interval.order):
            if len(part.diff):
                replica.pull(part.diff)
                tell("pull", self, replica, part.diff, part.interval)


class _Part:
    """What an interval did to one array, as far as it has not been applied yet."""

    __slots__ = ("diff", "interval")

    def __init__(self, interval: Interval, diff: Diff) -> None:
        self.interval, self.diff = interval, diff

    def within(self, spans: Any, *, inside: bool) -> _Part:
        return _Part(self.interval, self.diff.where(positions_in(self.diff.positions, spans) == inside))


class _Atomics(threading.local):
    """The atomic operations that a thread is in, by their elements."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
