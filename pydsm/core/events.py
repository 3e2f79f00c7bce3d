"""What happens in a worker that others may want to follow: synchronisation, accesses, runs.

A team that is asked for more than its workers' results (a weaker memory, a check for races, a
timeline, a controlled schedule) gives each worker *observers*.  Arrays and locks of such a
team call them at each synchronisation; those of other teams are of classes that know
nothing of observers, so what is not asked for costs nothing.

The order of calls is the order of events of one worker.  Of an acquire: `acquiring`, then the
wait, then `acquired` when the lock words are taken and before the body sees anything.  Of
a release: `releasing` while the words are still held, `released` after.  Of an atomic
operation: `atomic_begins`, the operation, `atomic_ended`.  Of a barrier: `arriving`, the barrier,
`met`, a second barrier if any observer has work to do while all are there, `departed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Atomic", "Hold", "Instrument", "Observer", "Scheduler", "observe", "observers", "scheduler"]


class Hold(Protocol):
    """Rows of one array, or a named lock, that a worker wants, has, or gives back."""

    name: str
    array_id: int
    array: Any
    """The array or view that was asked for the rows; None for a named lock."""
    key: Any
    """The rows as they were asked for."""
    shared: bool
    fence: bool
    recover: bool

    @property
    def stripes(self) -> NDArray[Any]:
        """Ascending numbers of the stripes that guard them; a named lock has the stripe 0."""

    @property
    def rows(self) -> NDArray[Any]:
        """Rows of the whole array as sorted half-open intervals, shape (n, 2); none for a named lock."""


class Atomic(Protocol):
    """An atomic operation on one element, or an `accumulate` on many."""

    name: str
    array_id: int
    array: Any
    op: str
    """The method's name, as ``"fetch_add"``, ``"load_acquire"``, ``"accumulate"``, ``"wait_until"``."""
    key: Any
    """Index of the element, or the rows of an `accumulate`."""
    writes: bool
    """False for `load_acquire` and `wait_until`."""

    @property
    def elements(self) -> NDArray[Any]:
        """Ascending positions of the elements in the flattened whole array."""


class Observer:
    """Follows one worker, in its process; every method does nothing unless it is overridden.

    Attributes
    ----------
    rendezvous : bool
        Whether workers meet in each barrier a second time, after every one's `met`.
    moves_data : bool
        Whether what this worker sees changes in `atomic_begins`, so that waiting for an
        element means to do one atomic read after the other.
    """

    rendezvous: bool = False
    moves_data: bool = False

    def begin(self) -> None:
        """See the worker sit down; it has its arrays, and its function is called next."""

    def end(self, *, failed: bool) -> None:
        """See its function return or raise; nothing else of it will follow."""

    def mapped(self, root: Any, description: Any, array_id: int) -> None:
        """See a whole array come into this process: those there are at `begin`, and later ones."""

    def acquiring(self, holds: Sequence[Hold]) -> None:
        """See an acquire before it waits."""

    def acquired(self, holds: Sequence[Hold]) -> None:
        """See it have all of them."""

    def not_acquired(self, holds: Sequence[Hold]) -> None:
        """See it give up with an error, maybe one of an observer's `acquired`; nothing of it is held."""

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        """See a release before others can enter; `failed`: the body raised."""

    def released(self, holds: Sequence[Hold]) -> None:
        """See it when they can."""

    def atomic_begins(self, atomic: Atomic) -> None:
        """See an atomic operation before it is done; `atomic_ended` follows in any case."""

    def atomic_ended(self, atomic: Atomic, *, failed: bool) -> None:
        """See it done; a `wait_until` that times out has failed."""

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        """See a fence of an array."""

    def sharing(self) -> None:
        """See the worker ask `share` for its next piece."""

    def arriving(self) -> None:
        """See the worker come to a barrier."""

    def met(self) -> None:
        """See all workers there."""

    def departed(self) -> None:
        """See the worker leave it."""

    def accessed(self, array: Any, key: Any, *, write: bool) -> None:
        """See a plain access, before it is made; only arrays of a checked team tell of them."""

    def note(self, kind: str, details: dict[str, Any]) -> None:
        """See what another observer tells of: ``"push"`` and ``"pull"`` of a memory, ``"race"`` of the detector."""


class Scheduler(Protocol):
    """The observer that decides which worker runs, if a team has one."""

    def wait(self, attempt: Callable[[], bool], what: str, *, timed: bool = False) -> bool:
        """Let others run until `attempt` succeeds; False if nothing else could move and the wait is `timed`.

        Raises
        ------
        DeadlockError
            Nothing can move any more.
        """

    def leave(self) -> None:
        """Let others run for good: this worker has given back all that it had."""

    def release(self) -> None:
        """Let this worker run as it likes from now on: it was told to end, and has to leave its blocks."""


class Instrument:
    """What a team was asked for, in the parent and on its way to the workers; it pickles.

    Attributes
    ----------
    array_class : type, optional
        What the team's arrays are to be; `pydsm.observed.ObservedArray` unless given.
    """

    array_class: type | None = None

    def check_with(self, others: Mapping[str, Instrument]) -> None:
        """Raise ValueError if it cannot be together with one of the others, by option (``"check"`` ...)."""

    def open(self, namespace: Any, size: int) -> None:
        """Make what is needed as long as the team lives; called once, in the parent."""

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Get ready for a run, in the parent, before any worker starts."""

    def observer(self, namespace: Any, rank: int, size: int) -> Observer:
        """Return the observer of a worker, in the worker."""
        raise NotImplementedError(f"{type(self).__name__} says who observes its workers")

    def lost(self, rank: int) -> None:
        """Put right, in the parent, what a worker's death leaves; called while others may still run."""

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Finish a run, in the parent, when no worker runs any more; `results` is None if the run failed."""

    def found(self) -> Any:
        """Return what came of the runs so far, in the parent."""

    def seed(self) -> int:
        """Return the seed of the workers' random numbers, of a team that was given none; asked of a schedule only."""
        raise NotImplementedError(f"{type(self).__name__} is no schedule")

    def close(self) -> None:
        """Remove what `open` made; called once, in the parent."""


_observers: tuple[Observer, ...] = ()
_scheduler: Scheduler | None = None


def observers() -> tuple[Observer, ...]:
    """Return who observes this process; nobody, unless it is a worker of a team that was asked for more."""
    return _observers


def scheduler() -> Scheduler | None:
    """Return who decides when this worker runs, if not the operating system."""
    return _scheduler


def observe(chain: tuple[Observer, ...], decides: Scheduler | None = None) -> None:
    """Set who observes this process from now on."""
    global _observers, _scheduler
    _observers, _scheduler = chain, decides
