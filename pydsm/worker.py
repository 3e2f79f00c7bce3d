"""What a worker's function is given: its rank, its team's arrays, and the calls of a worker."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pydsm.array import GlobalArray
from pydsm.core.events import observers
from pydsm.core.layout import Slot
from pydsm.handles import attach
from pydsm.observed import observed_pieces
from pydsm.reduction import Reduction
from pydsm.saving import load_arrays, save_arrays
from pydsm.schedule import Chunk, Schedule, pieces
from pydsm.sync import locksegment
from pydsm.sync.barrier import Barrier
from pydsm.sync.lock import Lock, attach_lock
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Worker", "current_worker", "enter_worker", "share", "track"]

_Item = TypeVar("_Item")


class Worker:
    """A team as one of its workers sees it; the first argument of the function it runs.

    Attributes
    ----------
    rank : int
        Number of this worker, from 0.
    size : int
        How many workers there are.
    random : numpy.random.Generator
        This worker's own random numbers, reproducible with the team's `seed`.

    Examples
    --------
    >>> import pydsm
    >>> def fill(worker, value):
    ...     mine = worker.split(len(worker["A"]))
    ...     worker["A"][mine.start : mine.stop] = value + worker.rank
    ...     worker.barrier()
    ...     return worker["A"].sum().item()
    >>> with pydsm.Team(2) as team:
    ...     A = team.array("A", 4, int)
    ...     team.run(fill, 10)
    [42, 42]
    """

    def __init__(
        self,
        namespace: Namespace,
        rank: int,
        size: int,
        resources: Mapping[str, GlobalArray | Lock],
        seed: list[int],
        barrier: Barrier,
    ) -> None:
        self.rank = rank
        self.size = size
        self.resources = dict(resources)
        self._namespace = namespace
        self._barrier = barrier
        self._reduction = Reduction(namespace, rank, size, self._barrier)
        self._schedule = Schedule(namespace, rank, size, self._barrier)
        self._seed = seed
        self._splits = 0
        self._random: np.random.Generator | None = None

    def __getitem__(self, name: str) -> Any:
        return self.resources[name] if name in self.resources else find(self._namespace, name)

    def __repr__(self) -> str:
        return f"<worker {self.rank} of {self.size}>"

    @property
    def random(self) -> np.random.Generator:
        """Random numbers of this worker's own."""
        if self._random is None:
            self._random = np.random.default_rng([*self._seed, 1, self.rank])
        return self._random

    def barrier(self) -> None:
        """Wait until every worker is here; all that was written before is visible after.

        Raises
        ------
        BrokenBarrierError
            A worker failed or has returned, so not everybody can come.
        """
        self._barrier.wait(self.rank)

    def split(self, n: int) -> range:
        """Return this worker's share of ``range(n)``; shares differ by at most one.

        Examples
        --------
        >>> import pydsm
        >>> with pydsm.Team(3) as team:
        ...     team.run(lambda worker: worker.split(7))
        [range(0, 2), range(2, 4), range(4, 7)]
        """
        return share_of(n, self.rank, self.size)

    def share(self, n: int, chunk: Chunk = "guided") -> Iterator[range]:
        """Yield ranges of ``range(n)``, one after the other, whenever this worker is free for more.

        Collective: every worker's function calls it in the same order, with the same `n`.
        Together they get every number exactly once.

        Parameters
        ----------
        n : int
            How many things there are, less than 2**48.
        chunk : "guided" or int
            How many to take at a time: an int from 1, or a part of what is left, large at
            first and single things at the end.

        Raises
        ------
        ValueError
            Another worker shares another number of things out.
        BrokenBarrierError, DeadlockError
            Workers that are more than 16 shares behind will not come.

        Notes
        -----
        What a worker took and did not do, because it left its loop or died, is not given
        again.  See docs/scheduling.md.

        Examples
        --------
        >>> import pydsm
        >>> def program(worker):
        ...     return [i for part in worker.share(10) for i in part]
        >>> with pydsm.Team(2) as team:
        ...     sorted(i for mine in team.run(program) for i in mine)
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        """
        taken = self._schedule.share(n, chunk)
        return observed_pieces(taken) if observers() else taken

    def allreduce(self, value: Any, op: str = "add") -> Any:
        """Combine one value of each worker, and return what comes of it, the same to all.

        Collective, and as a barrier: what was written before it is visible after.

        Parameters
        ----------
        value : number or array
            Of the same kind, dtype and shape in every worker.  Numbers of Python's and of
            NumPy's, and arrays, are different kinds; each gets its own kind back.
        op : {"add", "mul", "min", "max", "and", "or", "xor"}

        Raises
        ------
        ValueError
            In every worker: they do not agree on what to do.
        TypeError
            The operation does not work on such values.
        NoRoomError
            In every worker: one has no room for the arrays.
        BrokenBarrierError
            A worker failed or has returned, so not everybody can come.

        Notes
        -----
        Values are combined in the order of ranks, so the result has the same bits in every
        worker and in every run.  Integers of NumPy wrap and floats become infinite without a
        warning; ints of Python, of 64 bits at most, give exact sums.  Where a team goes on
        after a death, the values of those are combined who came before they died.

        Examples
        --------
        >>> import pydsm
        >>> with pydsm.Team(3) as team:
        ...     team.run(lambda worker: worker.allreduce(worker.rank + 1, "mul"))
        [6, 6, 6]
        """
        return self._reduction.reduce(value, op)

    def reduce(self, value: Any, op: str = "add", root: int = 0) -> Any:
        """Combine one value of each worker for the worker `root`; the others get None.

        As `allreduce` in everything else.

        Examples
        --------
        >>> import pydsm
        >>> with pydsm.Team(3) as team:
        ...     team.run(lambda worker: worker.reduce(float(worker.rank), "max", root=1))
        [None, 2.0, None]
        """
        return self._reduction.reduce(value, op, self._rank_of(root))

    def _rank_of(self, root: int) -> int:
        if isinstance(root, bool) or not hasattr(root, "__index__"):
            raise TypeError(f"root is the rank of a worker, not {root!r}")
        if not 0 <= operator.index(root) < self.size:
            raise ValueError(f"root is a rank from 0 to {self.size - 1}, not {root}")
        return operator.index(root)

    def shuffled(self, n: int) -> NDArray[np.intp]:
        """Return a random order of ``range(n)``, the same for all workers that ask as often."""
        self._splits += 1
        return np.random.default_rng([*self._seed, 2, self._splits]).permutation(n)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Save all arrays of the team in one file (``.npz``); collective, with a barrier before and after.

        Examples
        --------
        >>> import pydsm, tempfile
        >>> def program(worker, file):
        ...     worker["A"][worker.rank] = 7
        ...     worker.save(file)
        ...     worker["A"][worker.rank] = 0
        ...     worker.load(file)
        ...     return worker["A"].tolist()
        >>> with tempfile.TemporaryDirectory() as folder, pydsm.Team(2) as team:
        ...     A = team.array("A", 2, int)
        ...     team.run(program, f"{folder}/saved.npz")
        [[7, 7], [7, 7]]
        """
        self.barrier()
        if self.rank == 0:
            save_arrays(file, self._arrays())
        self.barrier()

    def load(self, file: str | os.PathLike[str]) -> None:
        """Fill all arrays of the team with what `save` wrote; collective, with a barrier before and after.

        Raises
        ------
        ValueError
            In the worker 0, and so for the run: the file is not of these arrays.
        """
        self.barrier()
        if self.rank == 0:
            load_arrays(file, self._arrays())
        self.barrier()

    def _arrays(self) -> dict[str, GlobalArray]:
        return {name: each for name, each in self.resources.items() if isinstance(each, GlobalArray)}

    def track(self, iterable: Iterable[_Item], total: int | None = None) -> Iterator[_Item]:
        """Yield the items and show the parent how many are done; see `pydsm.track`."""
        slots, slot = self._namespace.slots, self.rank
        if total is None:
            total = len(iterable) if isinstance(iterable, Sized) else 0
        slots.set(slot, Slot.TOTAL, slots.get(slot, Slot.TOTAL) + total)
        done = slots.get(slot, Slot.DONE)
        for count, item in enumerate(iterable, 1):
            yield item
            slots.set(slot, Slot.DONE, done + count)


def find(namespace: Namespace, name: str) -> GlobalArray | Lock:
    """Return an array or a lock that some worker made, by name."""
    header, _ = locksegment.attach(namespace, name)
    if header.description.shape:
        return attach(f"{namespace.name}/{name}")
    return attach_lock(namespace.name, name)


def share_of(n: int, rank: int, size: int) -> range:
    """Return the `rank`-th of `size` nearly equal shares of ``range(n)``."""
    if not hasattr(n, "__index__"):
        raise TypeError(f"a number of things to split is an int, not {n!r}")
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"a number of things to split is 0 or more, not {n}")
    return range(rank * n // size, (rank + 1) * n // size)


_worker: Worker | None = None


def enter_worker(worker: Worker | None) -> None:
    """Make `worker` the one that this process is."""
    global _worker
    _worker = worker


def current_worker(call: str | None = None) -> Worker | None:
    """Return the worker that this process is, or None; RuntimeError if `call` needs one."""
    if _worker is None and call is not None:
        raise RuntimeError(f"{call} needs a worker: call it in the function that the workers run")
    return _worker


def track(iterable: Iterable[_Item], total: int | None = None) -> Iterator[_Item]:
    """Yield the items, counting them for the bar that ``run(..., progress=True)`` shows.

    Parameters
    ----------
    iterable : iterable
    total : int, optional
        How many items there will be; the iterable's length unless given.

    Notes
    -----
    One bar stands for all workers.  Outside of a worker the items are just yielded.

    Examples
    --------
    >>> import pydsm
    >>> sum(pydsm.track(range(4)))
    6
    """
    worker = current_worker()
    return iter(iterable) if worker is None else worker.track(iterable, total)


def share(n: int, chunk: Chunk = "guided") -> Iterator[range]:
    """Yield ranges of ``range(n)`` that this worker is to do; see `Worker.share`.

    Outside of a worker that is all of them: in one range, or in pieces of `chunk`.

    Examples
    --------
    >>> import pydsm
    >>> list(pydsm.share(10)), list(pydsm.share(10, chunk=4))
    ([range(0, 10)], [range(0, 4), range(4, 8), range(8, 10)])
    """
    worker = current_worker()
    return pieces(n, chunk) if worker is None else worker.share(n, chunk)
