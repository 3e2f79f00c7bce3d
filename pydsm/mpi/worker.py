"""A worker of a team on several nodes: barriers, reductions and shares of work over messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, Final, TypeVar

import numpy as np

from pydsm.array import GlobalArray
from pydsm.core.layout import Slot
from pydsm.core.operand import Operand
from pydsm.mpi.engine import Engine
from pydsm.schedule import Chunk, check_chunk, check_length
from pydsm.sync.barrier import Barrier
from pydsm.sync.lock import Lock
from pydsm.sync.namespace import Namespace
from pydsm.worker import Worker

__all__ = ["MpiBarrier", "MpiWorker"]

_Item = TypeVar("_Item")
_PARTS: Final = 4  # of what is left, for each worker; see pydsm.schedule


class MpiBarrier(Barrier):
    """The barrier of all nodes: the workers of each meet, tell what they wrote, and their first one meets the others.

    Whoever waits for siblings does so on their node's native barrier, asleep.
    """

    def __init__(self, namespace: Namespace, engine: Engine) -> None:
        super().__init__(namespace)
        self._engine = engine

    def wait(self, rank: int) -> None:
        """Wait until every worker has come here; see `Barrier.wait`."""
        engine, slot = self._engine, self._engine.local
        super().wait(slot)  # nobody here writes any more
        engine.node.know_all()
        try:
            engine.publish_share()
            super().wait(slot)  # all is told
            if slot == 0:
                engine.meet()
        except BaseException:
            self.fail()
            raise
        super().wait(slot)
        engine.barriers += 1

    def start(self, told: list[int]) -> None:
        """Begin a run: bring in what the parent wrote before it."""
        try:
            if self._engine.local == 0:
                self._engine.start(told)
        except BaseException:
            self.fail()
            raise
        super().wait(self._engine.local)

    def finish(self, rank: int) -> None:
        """Say that this worker will not come any more."""
        super().finish(self._engine.local)


class MpiWorker(Worker):
    """A team as one of its workers on several nodes sees it."""

    def __init__(
        self,
        namespace: Namespace,
        engine: Engine,
        size: int,
        resources: Mapping[str, GlobalArray | Lock],
        seed: list[int],
        barrier: MpiBarrier,
    ) -> None:
        super().__init__(namespace, engine.worker, size, resources, seed, barrier)
        self._engine = engine
        self._reductions = 0
        self._shared = 0

    def allreduce(self, value: Any, op: str = "add") -> Any:
        """Combine one value of each worker, and return what comes of it, the same to all; see `Worker.allreduce`."""
        return self._combine(value, op, None)

    def reduce(self, value: Any, op: str = "add", root: int = 0) -> Any:
        """Combine one value of each worker for the worker `root`; see `Worker.reduce`."""
        return self._combine(value, op, self._rank_of(root))

    def _combine(self, value: Any, op: str, root: int | None) -> Any:
        operand = Operand.of(value, op)
        name = "allreduce()" if root is None else f"reduce(root={root})"
        self._reductions += 1
        digest = operand.digest(name), self._reductions
        self.barrier()
        given = self._engine.gather((digest, operand.values.tobytes()))
        strangers = [rank for rank, (other, _) in enumerate(given) if other != digest]
        if strangers:
            raise ValueError(
                f"{name} of rank {self.rank} reduces {operand} with {op!r}, rank {', '.join(map(str, strangers))} "
                "does something else: all workers do the same, in the same order"
            )
        if root not in (None, self.rank):
            return None
        dtype = operand.values.dtype
        return operand.combine([np.frombuffer(content, dtype) for _, content in given])

    def share(self, n: int, chunk: Chunk = "guided") -> Iterator[range]:
        """Yield ranges of ``range(n)``, one after the other, when this worker is free; see `Worker.share`."""
        length, size = check_length(n), check_chunk(chunk)
        self._shared += 1
        return self._pieces(self._shared, length, size)

    def _pieces(self, ordinal: int, n: int, chunk: int) -> Iterator[range]:
        while piece := self._engine.piece(ordinal, n, chunk, _PARTS * self.size):
            yield piece

    def track(self, iterable: Iterable[_Item], total: int | None = None) -> Iterator[_Item]:
        """Yield the items, counting them; see `pydsm.track`."""
        slots, slot = self._namespace.slots, self._engine.local
        if total is None:
            total = len(iterable) if isinstance(iterable, Sized) else 0
        slots.set(slot, Slot.TOTAL, slots.get(slot, Slot.TOTAL) + total)
        for count, item in enumerate(iterable, 1):
            yield item
            slots.set(slot, Slot.DONE, count)
