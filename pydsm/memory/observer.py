"""The replicas of one worker, and what brings them in step; `pydsm.memory.release` has the theory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydsm.core.clock import tick
from pydsm.core.diff import Diff
from pydsm.core.events import Atomic, Hold, Observer
from pydsm.core.interval import Interval, Kind, Pass
from pydsm.core.layout import Team
from pydsm.memory.heard import Heard
from pydsm.memory.homes import bring_home, merged
from pydsm.memory.log import EventLog
from pydsm.memory.pending import Part, Pending
from pydsm.memory.replica import Replica
from pydsm.memory.scope import EVERYTHING, Policy, Scope, scope_of_fence, scope_of_holds, spans_of
from pydsm.memory.telling import tell

if TYPE_CHECKING:
    from pydsm.core.layout import Description
    from pydsm.sync.namespace import Namespace

__all__ = ["ReplicaObserver"]

_SECONDS: Final = 0.02  # until the next look at whether the barrier is broken


class ReplicaObserver(Observer):
    """The replicas of one worker, and when they are brought in step."""

    rendezvous = True
    moves_data = True

    def __init__(self, namespace: Namespace, rank: int, size: int, policy: Policy) -> None:
        self._namespace, self._rank, self._policy = namespace, rank, policy
        self._log = EventLog(namespace)
        self._heard = Heard(rank, size)
        self._replicas: dict[int, Replica] = {}
        self._pending = Pending()
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
                self._apply(array_id, self._pending.take_due(array_id))

    # -- regions and named locks -------------------------------------------------

    def acquired(self, holds: Sequence[Hold]) -> None:
        """See what came before, as far as the memory shows it."""
        with self._mutex:
            self._keep_step()  # who had the rows before may have left the barrier already
            self._hear()
            for hold in holds:
                self._heard.acquire(hold.array_id, hold.stripes, shared=hold.shared)
                if self._heard.knows_atomics(hold.array_id):
                    for start, stop in spans_of(hold).tolist():
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
        """Publish what it left, and all that this worker wrote before.

        Who waits for the element was woken by the operation, and looks again when it has the log.
        """
        if not self._atomic.begun:
            return
        elements = self._atomic.begun.pop()
        writes = atomic.writes and len(elements) > 0
        try:
            self._publish(EVERYTHING, [Pass(Kind.ATOMIC, atomic.array_id, elements)] if writes else ())
        finally:
            self._log.__exit__(None, None, None)
            self._mutex.release()

    # -- barriers ----------------------------------------------------------------

    def arriving(self) -> None:
        """Publish everything, and get ready for a change of the homes."""
        with self._mutex:
            self._publish(EVERYTHING)
            for replica in self._replicas.values():
                replica.settle(alone=threading.active_count() == 1)

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
        self._heard.see_everything()
        self._pending.add(self._heard.newly_covered())
        for array_id, diff in merged(self._log.read(self._epoch)).items():
            if array_id in self._replicas:
                self._replicas[array_id].pull(diff)
        for array_id, parts in self._pending.take(EVERYTHING, self._replicas.__contains__):
            self._tell_of_pulls(array_id, parts)
        self._pending.forget()
        self._heard.next_epoch()
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
        self._pending.add(self._heard.newly_covered())
        for array_id, parts in self._pending.take(scope, self._replicas.__contains__):
            self._apply(array_id, parts)

    def _apply(self, array_id: int, parts: Sequence[Part]) -> None:
        for part in parts:
            self._replicas[array_id].pull(part.diff)
        self._tell_of_pulls(array_id, parts)

    def _tell_of_pulls(self, array_id: int, parts: Sequence[Part]) -> None:
        for part in parts:
            tell("pull", self, self._replicas[array_id], part.diff, part.interval)


class _Atomics(threading.local):
    """The atomic operations that a thread is in, by their elements."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
