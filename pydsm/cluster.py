"""The original API of py-dsm: `Cluster`, its names and nothing else, over `Team`."""

from __future__ import annotations

import itertools
import os
import sys
import weakref
import zlib
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.array import GlobalArray
from pydsm.errors import UnknownNameError
from pydsm.handles import attach
from pydsm.ipc.child import StartMethod
from pydsm.options import OnDeath
from pydsm.sync.lock import Lock
from pydsm.team import Team
from pydsm.worker import Worker, current_worker, share_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Cluster"]

_open: weakref.WeakValueDictionary[int, Cluster] = weakref.WeakValueDictionary()
_numbers = itertools.count()


class Cluster:
    """Worker processes with shared arrays, under the names of the original py-dsm.

    Parameters
    ----------
    numThread : int, optional
        How many workers; one for each cpu unless given.
    start, memory, namespace, seed, on_death, check, schedule, trace
        As of `Team`.

    Examples
    --------
    >>> import numpy as np, pydsm
    >>> def add(res, n):
    ...     A, B, C = res["A"], res["B"], pydsm.Cluster.getShared("C")
    ...     mine = pydsm.Cluster.splitIndices(n, res["id"], random=False)
    ...     C[mine] = A[mine] + B[mine]
    >>> with pydsm.Cluster(2) as cluster:
    ...     A = cluster.createShared(name="A", shape=4, dataType=int)
    ...     B = cluster.createShared("B", 4, int)
    ...     C = cluster.createShared("C", 4, int)
    ...     A[:] = np.arange(4)
    ...     B[:] = 1
    ...     cluster.runProcesses(add, paras=(4,))
    ...     print(np.array(C))
    [1 2 3 4]
    """

    def __init__(
        self,
        numThread: int | None = None,
        *,
        start: StartMethod = "fork",
        memory: str | None = None,
        namespace: str | None = None,
        seed: int | None = None,
        on_death: OnDeath = "abort",
        check: str | None = None,
        schedule: int | str | None = None,
        trace: str | os.PathLike[str] | bool | None = None,
    ) -> None:
        self._team = Team(
            numThread,
            start=start,
            memory=memory,
            namespace=namespace,
            seed=seed,
            on_death=on_death,
            check=check,
            schedule=schedule,
            trace=trace,
        )
        self._seeded = seed is not None
        self.numThread = self._team.size
        self.sharedList: list[str] = []
        self.resources: dict[str, Any] = {"id": -1}
        self._number = next(_numbers)
        _open[self._number] = self

    @property
    def races(self) -> tuple[Any, ...]:
        """Races that `check` found in the last run, see docs/races.md."""
        return self._team.races

    def createShared(self, name: str, shape: int | Iterable[int], dataType: DTypeLike = int) -> GlobalArray:
        """Create a shared array of zeros.

        Raises
        ------
        KeyError
            The name is taken or reserved (`NameExistsError`).
        """
        name = _bare(name)
        array = self._team.array(name, shape, dataType)
        self.sharedList.append(name)
        self.resources[name] = array
        return array

    def createLock(self, name: str) -> Lock:
        """Create a lock, which workers find in their resources.

        Raises
        ------
        KeyError
            The name is taken or reserved (`NameExistsError`).
        """
        lock = self._team.lock(name)
        self.resources[name] = lock
        return lock

    createdLock = createLock

    def runProcesses(self, func: Callable[..., Any], paras: tuple[Any, ...] = ()) -> None:
        """Call ``func(resource, *paras)`` in every worker and wait for all.

        `resource` is a dict with the worker's ``"id"``, and every shared array and lock by
        name.

        Raises
        ------
        WorkerError
            A worker raised or died; the others have been stopped.
        """
        if not callable(func):
            raise TypeError(f"runProcesses() takes a function first, not {func!r}")
        if not isinstance(paras, tuple):
            raise TypeError(f"paras is a tuple, as in paras=(n,), not {paras!r}")
        if not self._seeded:
            self._team.reseed(_numpy_seed())
        self._team.run(_WithResource(func), *paras)

    @classmethod
    def getShared(cls, name: str) -> GlobalArray:
        """Return a shared array by name: in a worker its team's, else that of an open cluster.

        Raises
        ------
        KeyError
            There is none; the message lists those there are (`UnknownNameError`).
        """
        name, worker = _bare(name), current_worker()
        if worker is not None:
            known = worker.resources.get(name)
            return known if isinstance(known, GlobalArray) else attach(name)
        arrays = {known: cluster.resources[known] for cluster in _open.values() for known in cluster.sharedList}
        if name not in arrays:
            listed = ", ".join(map(repr, arrays)) or "none"
            raise UnknownNameError(f"there is no shared array {name!r}; there is {listed}")
        found: GlobalArray = arrays[name]
        return found

    @classmethod
    def barrier(cls) -> None:
        """In a worker: wait until every worker is here."""
        _worker("Cluster.barrier()").barrier()

    @classmethod
    def splitIndices(cls, length: int, id: int, random: bool = True) -> list[int]:
        """In a worker: return the share of worker `id` in the indices 0 to ``length - 1``.

        Collective: every worker must call it, and it has a barrier.

        Parameters
        ----------
        length : int
            How many indices.
        id : int
            Whose share, from 0.
        random : bool
            Shuffle first, in the same way for all workers.

        Returns
        -------
        list of int
            Shares differ by at most one and cover every index exactly once.
        """
        worker = _worker("Cluster.splitIndices()")
        if not 0 <= id < worker.size:
            raise ValueError(f"id is a worker's number from 0 to {worker.size - 1}, not {id}")
        mine = share_of(length, id, worker.size)
        indices = worker.shuffled(length)[mine.start : mine.stop].tolist() if random else list(mine)
        worker.barrier()
        return indices

    def deleteShared(self) -> None:
        """Remove the shared arrays."""
        while self.sharedList:
            name = self.sharedList.pop()
            del self.resources[name]
            self._team.delete(name)

    def terminate(self) -> None:
        """Remove everything that the cluster has in shared memory."""
        _open.pop(self._number, None)
        self._team.terminate()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()


class _WithResource:
    """Gives a function written for the original API its `resource` dict."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, worker: Worker, *paras: Any) -> None:
        self.function(_Resource({"id": worker.rank, **worker.resources}), *paras)


class _Resource(dict[str, Any]):
    """The `resource` dict; a wrong name lists the right ones."""

    def __missing__(self, name: str) -> Any:
        known = ", ".join(map(repr, self))
        raise UnknownNameError(f"this cluster has no array or lock {name!r}; its resources are {known}")


def _bare(name: str) -> str:
    """Return a name without the ``shm://`` that the original took and SharedArray wants."""
    return name.removeprefix("shm://") if isinstance(name, str) else name


def _numpy_seed() -> int | None:
    """Return a seed that follows ``np.random.seed``, as the original's shuffles did; None if nobody used it."""
    if "numpy.random" not in sys.modules:
        return None
    state = np.random.get_state(legacy=False)["state"]
    return zlib.crc32(state["key"].tobytes(), state["pos"])


def _worker(call: str) -> Worker:
    worker = current_worker(call)
    assert worker is not None
    return worker
