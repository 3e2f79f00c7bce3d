"""A named lock of a team, with the verbs of `threading` and of the original API."""

from __future__ import annotations

from typing import Any

from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.errors import LockTimeoutError
from pydsm.native import StripeLock, StripeLocks
from pydsm.sync import locksegment
from pydsm.sync.locktable import LockTable, deadline_of
from pydsm.sync.namespace import Namespace

__all__ = ["Lock", "attach_lock", "create_lock"]


class Lock(StripeLock):
    """A lock that workers share by name.

    Only the thread that acquired it may release it; acquiring it again in the same thread
    is counted, and as many releases give it back.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     lock = team.lock("printer")
    ...     with lock:
    ...         lock.acquire(timeout=0)
    ...         lock.release()
    True
    """

    words: StripeLocks

    def acquire(self, block: bool = True, timeout: float | None = None, *, recover: bool = False) -> bool:
        """Take the lock; say whether it was had.

        Parameters
        ----------
        block : bool
            False: try once.
        timeout : float, optional
            Seconds to wait at most; None waits for ever.
        recover : bool
            Take the lock over from a holder that died, instead of an OwnerDiedError.

        Raises
        ------
        DeadlockError
            Waiting would never end.
        OwnerDiedError
            A holder died, so what the lock guards may be half-written; it stays so until
            somebody acquires with `recover`.
        """
        try:
            self.acquire_until(deadline_of(timeout if block else 0), recover)
        except LockTimeoutError:
            return False
        return True

    apply = acquire

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._table.name

    @property
    def _table(self) -> LockTable:
        table: LockTable = self.words.policy
        return table

    def __repr__(self) -> str:
        return f"lock {self.name!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return attach_lock, (self._table.namespace.known_as, self.name, type(self))


def create_lock(namespace: Namespace, name: str) -> Lock:
    """Create a named lock: lock words with one stripe, and no array."""
    description = Description(names.check_name(name), (), "'|V0'", block=1)
    if namespace.elsewhere is not None:
        namespace.elsewhere.make(description, 1)
        return attach_lock(namespace.name, name)
    with namespace.creating():
        return (namespace.lock_class or Lock)(locksegment.create(namespace, description, 1)[1])


def attach_lock(namespace: str, name: str, lock_class: type[Lock] | None = None) -> Lock:
    """Attach an existing named lock."""
    space = Namespace.open(namespace)
    return (lock_class or space.lock_class or Lock)(locksegment.attach(space, name)[1])
