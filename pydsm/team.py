"""A team of worker processes with their arrays and locks, and the runs they do together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydsm import schedule
from pydsm.array import GlobalArray, rows_of
from pydsm.core import names
from pydsm.core.layout import Slot
from pydsm.crew import check_instruments, crew_for
from pydsm.errors import NameExistsError
from pydsm.handles import Access, create_in, unlink_in
from pydsm.instruments import Instruments
from pydsm.interrupt import DeferredSignals
from pydsm.ipc.blas import find_pools
from pydsm.ipc.child import StartMethod, start_child
from pydsm.native import StripeLocks, held
from pydsm.options import OnDeath, check_options, check_picklable, exact_seed, exact_size
from pydsm.saving import load_arrays, save_arrays
from pydsm.schedule import Chunk
from pydsm.supervise import Supervisor
from pydsm.sync.barrier import Barrier
from pydsm.sync.lock import Lock, create_lock
from pydsm.sync.locktable import LockTable
from pydsm.sync.namespace import Namespace
from pydsm.task import Task, work
from pydsm.waiting import Bar, Joining
from pydsm.worker import Worker, current_worker, find

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Team"]


class Team:
    """Worker processes that share arrays and locks.

    Parameters
    ----------
    size : int, optional
        How many workers; one for each cpu (or ``PYDSM_WORKERS``) unless given.
    start : {"fork", "spawn", "forkserver"}
        How workers are started.  Only under fork may the function be a closure or a lambda.
    memory : {"coherent", "release", "entry"}, optional
        What workers see of one another's writes; "coherent", or ``PYDSM_MEMORY``, unless
        given.  See docs/memory-model.md.
    check : {"happens-before", "predict", "strict"}, optional
        Look for data races (or as ``PYDSM_RACE`` says); see docs/races.md.
    schedule : int or str, optional
        Seed of a controlled schedule, in which one worker runs at a time (or
        ``PYDSM_SCHEDULE``); see docs/schedules.md.
    trace : path or bool, optional
        Record a timeline, and save it there (or ``PYDSM_TRACE``); see docs/timeline.md.
    namespace : str, optional
        Name of the team's namespace; a random one unless given.
    seed : int, optional
        Makes `Worker.random` and shuffled splits reproducible.
    on_death : {"abort", "continue"}
        What a worker's death does to a run.  ``"abort"``: the others are stopped, and `run`
        raises.  ``"continue"``: they go on, a barrier waits for them only, and the dead
        one's place in the results has the WorkerDiedError.
    mode : int
        Permissions of what the team has in shared memory: 0o600, private to this user, or
        0o660, for the processes of this user's group as well.

    Raises
    ------
    ValueError, TypeError, NameExistsError, NoRoomError

    Examples
    --------
    >>> import pydsm
    >>> def count(worker, values):
    ...     H = worker["H"]
    ...     for value in values[worker.rank :: worker.size]:
    ...         with H.locked(value):
    ...             H[value] += 1
    >>> with pydsm.Team(2) as team:
    ...     H = team.array("H", 4, int)
    ...     results = team.run(count, [0, 3, 3, 1, 3])
    ...     H.tolist()
    [1, 1, 0, 3]
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        start: StartMethod = "fork",
        memory: str | None = None,
        namespace: str | None = None,
        seed: int | None = None,
        on_death: OnDeath = "abort",
        mode: int = 0o600,
        check: str | None = None,
        schedule: int | str | None = None,
        trace: str | os.PathLike[str] | bool | None = None,
    ) -> None:
        check_options(start, on_death, mode)
        self._crew = crew_for(size, on_death)
        self.size = exact_size(size) if self._crew is None else self._crew.size
        self._instruments = Instruments(memory=memory, check=check, schedule=schedule, trace=trace)
        self.start: StartMethod = start
        self.on_death: OnDeath = on_death
        self._seed = self._instruments.seed() if seed is None else exact_seed(seed)
        self._runs = 0
        self._running = False
        self._resources: dict[str, GlobalArray | Lock] = {}
        self._pid = os.getpid()
        seats = self.size if self._crew is None else check_instruments(self._crew, self._instruments).seats
        self._namespace = Namespace.create(namespace, size=seats, mode=mode)
        self._barrier = Barrier(self._namespace)
        try:
            self._instruments.open(self._namespace, self.size)
            if self._crew is not None:
                self._crew.open(self._namespace)
        except BaseException:
            self._namespace.close()
            raise

    # -- what the team shares ----------------------------------------------------

    def array(
        self,
        name: str,
        shape: int | Iterable[int],
        dtype: DTypeLike = float,
        *,
        stripes: int | None = None,
        access: Access = "open",
        file: str | os.PathLike[str] | None = None,
        huge: bool = False,
    ) -> GlobalArray:
        """Create a shared array of zeros; parameters as of `pydsm.create`."""
        self._check_new(name)
        array = create_in(self._namespace, name, shape, dtype, stripes=stripes, access=access, file=file, huge=huge)
        self._resources[name] = array
        return array

    def lock(self, name: str) -> Lock:
        """Create a named lock."""
        self._check_new(name)
        lock = create_lock(self._namespace, name)
        self._resources[name] = lock
        return lock

    def __getitem__(self, name: str) -> Any:
        self._check_open("give arrays or locks")
        return self._resources[name] if name in self._resources else find(self._namespace, name)

    @property
    def resources(self) -> Mapping[str, GlobalArray | Lock]:
        """Arrays and locks by name."""
        return dict(self._resources)

    @property
    def namespace(self) -> str:
        """Where the names live: ``pydsm.attach(f"{team.namespace}/A")`` from any process."""
        return self._namespace.name

    def save(self, file: str | os.PathLike[str]) -> None:
        """Save all arrays in one file (``.npz``), between two runs; `Worker.save` does so in the middle of one."""
        save_arrays(file, {array.name or "": array for array in self._arrays()})

    def load(self, file: str | os.PathLike[str]) -> None:
        """Fill all arrays with what was saved."""
        load_arrays(file, {array.name or "": array for array in self._arrays()})

    # -- running -----------------------------------------------------------------

    def reseed(self, seed: int | None) -> None:
        """Set the seed of the runs to come; None leaves it as it is."""
        if seed is not None:
            self._seed = exact_seed(seed)

    def run(self, function: Callable[..., Any], /, *args: Any, progress: bool = False) -> list[Any]:
        """Call ``function(worker, *args)`` in every worker.

        Parameters
        ----------
        function : callable
            Gets a `Worker` first.  What it returns must pickle.
        *args
            The same for all.  Shared arrays travel as handles.
        progress : bool
            Show one bar for all workers, fed by `pydsm.track`.

        Returns
        -------
        list
            The workers' results in rank order.

        Raises
        ------
        WorkerError
            A worker raised; the message has its traceback, ``__cause__`` is the exception.
        WorkerDiedError
            A worker was killed or left without returning; with ``on_death="continue"``
            only if none survived.
        """
        self._check_open("run")
        if self._pid != os.getpid():
            raise RuntimeError("a team runs only in the process that made it: its ranks and slots are there")
        if self._running:
            raise RuntimeError("the team runs already: start the next run when this one has returned")
        if not callable(function):
            raise TypeError(f"run() takes a function first, not {function!r}")
        if self.start != "fork" and self._crew is None:
            check_picklable(function, args, self.start)
        bar = Bar(self._namespace, self.size) if progress else None
        self._running = True
        results = None
        try:
            results = self._run(function, args, bar)
        finally:
            self._running = False
            self._bury_dead()
            if bar is not None:
                bar.close()
        return results

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], bar: Bar | None) -> list[Any]:
        self._runs += 1
        self._reset()
        for table, locks in self._tables():
            table.settle(locks)
        joining = Joining(self._namespace) if held() else None
        results = None
        self._instruments.before_run(self._arrays())
        try:
            with DeferredSignals() as signals:
                ticks = [part.update for part in (bar, joining) if part is not None]
                if self._crew is not None:
                    task = self._prepare(0, function, args)
                    results, leftovers = self._crew.run(task, self._barrier.fail, ticks, signals)
                else:
                    survive = self.on_death == "continue"
                    supervisor = Supervisor(self._barrier.fail, self._lose, ticks, signals, survive=survive)
                    self._start(supervisor, signals, function, args)
                    results, leftovers = supervisor.wait()
        finally:
            if joining is not None:
                joining.end()
            self._instruments.after_run(self._arrays(), results)
        for sentence in leftovers:
            warnings.warn(f"{sentence}: it was released", RuntimeWarning, stacklevel=4)
        return results

    def _reset(self) -> None:
        """Make the words that workers work together with new, while none runs."""
        self._barrier.reset()
        schedule.reset(self._namespace)
        words = (Slot.DONE, Slot.TOTAL, Slot.BARRIER, Slot.SHARES, *range(Slot.REDUCED, Slot.DIGEST + 2))
        for rank in range(self.size):
            for word in words:
                self._namespace.slots.set(rank, word, 0)

    def _start(
        self, supervisor: Supervisor, signals: DeferredSignals, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        find_pools()
        try:
            for rank in range(self.size):
                task = self._prepare(rank, function, args)
                restore = signals.restore if self.start == "fork" else None
                supervisor.add(rank, *start_child(self.start, f"worker {rank}", work, task, restore))
        except BaseException:
            supervisor.stop()
            raise

    def _lose(self, rank: int, pid: int) -> list[str]:
        """Put right what a dead worker left; return what it held."""
        if self._namespace.closed:
            return []
        held = self._namespace.lose(rank, pid)
        self._bury_dead()  # its threads
        if self.on_death == "continue":
            self._barrier.lose(rank)
        self._instruments.lost(rank)
        return held

    def _bury_dead(self) -> None:
        if not self._namespace.closed:
            self._namespace.bury_all()

    def _prepare(self, rank: int, function: Callable[..., Any], args: tuple[Any, ...]) -> Task:
        seed = [self._seed, self._runs]
        return Task(self._namespace.name, rank, self.size, seed, self._resources, function, args, self._instruments)

    def _arrays(self) -> list[GlobalArray]:
        return [resource for resource in self._resources.values() if isinstance(resource, GlobalArray)]

    def _tables(self) -> list[tuple[LockTable, StripeLocks]]:
        return [(locks.policy, locks) for locks in map(_locks, self._resources.values())]

    # -- what was found ----------------------------------------------------------

    @property
    def memory(self) -> str:
        """Name of the memory that the workers have."""
        return self._instruments.memory

    @property
    def races(self) -> tuple[Any, ...]:
        """Races that `check` found in the last run, see docs/races.md."""
        found: tuple[Any, ...] = self._found("check", "check='happens-before'")
        return found

    @property
    def timeline(self) -> Any:
        """What `trace` recorded in all runs so far, see docs/timeline.md."""
        return self._found("trace", "trace=True")

    @property
    def schedule(self) -> Any:
        """What the schedule of the last run was, see docs/schedules.md."""
        return self._found("schedule", "schedule=1")

    def _found(self, option: str, how: str) -> Any:
        instrument = self._instruments.find(option)
        if instrument is None:
            raise RuntimeError(f"this team was not asked to look: make it with {how}")
        return instrument.found()

    # -- calls of a worker -------------------------------------------------------

    def barrier(self) -> None:
        """In a worker: wait until every worker is here."""
        _inside("barrier()").barrier()

    def split(self, n: int) -> range:
        """In a worker: return this worker's share of ``range(n)``."""
        return _inside("split()").split(n)

    def share(self, n: int, chunk: Chunk = "guided") -> Iterator[range]:
        """In a worker: yield ranges of ``range(n)`` as this worker is free for them; see `Worker.share`."""
        return _inside("share()").share(n, chunk)

    def allreduce(self, value: Any, op: str = "add") -> Any:
        """In a worker: combine one value of each worker, for all; see `Worker.allreduce`."""
        return _inside("allreduce()").allreduce(value, op)

    def reduce(self, value: Any, op: str = "add", root: int = 0) -> Any:
        """In a worker: combine one value of each worker, for one of them; see `Worker.reduce`."""
        return _inside("reduce()").reduce(value, op, root)

    # -- the end -----------------------------------------------------------------

    def delete(self, *which: str) -> None:
        """Remove arrays and locks by name, or all; memory goes when nobody has it mapped."""
        for name in which or tuple(self._resources):
            unlink_in(self._namespace, name)
            self._resources.pop(name, None)

    def terminate(self) -> None:
        """Remove everything the team has in shared memory; may be called again."""
        self._resources.clear()
        try:
            if not self.closed and self._pid == os.getpid():
                self._instruments.close()
                if self._crew is not None:
                    self._crew.close()
        finally:
            self._namespace.close()

    @property
    def closed(self) -> bool:
        """True after `terminate`."""
        return self._namespace.closed

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()

    def __repr__(self) -> str:
        state = "terminated" if self.closed else f"namespace {self.namespace!r}"
        return f"<Team of {self.size} workers, {state}>"

    def _check_new(self, name: str) -> None:
        self._check_open("make arrays or locks")
        if name in self._resources:
            raise NameExistsError(f"name {names.check_name(name)!r} is taken already in this team")

    def _check_open(self, what: str) -> None:
        if self.closed:
            raise RuntimeError(f"this team was terminated and cannot {what}")


def _locks(resource: GlobalArray | Lock) -> StripeLocks:
    return rows_of(resource).locks if isinstance(resource, GlobalArray) else resource.words


def _inside(call: str) -> Worker:
    worker = current_worker(call)
    assert worker is not None
    return worker
