"""What goes out of a worker's node and what comes in, but for what is locked: see `pydsm.mpi.engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import Observer
from pydsm.core.stripes import stripes_of
from pydsm.mpi.client import Client
from pydsm.mpi.replica import Replica, neighbours
from pydsm.observed.holds import rows_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Exchange"]

_AT_ONCE: Final = 1 << 14  # updates in one message


class Exchange(Observer):
    """Fences, atomic operations and meetings of a worker whose team is on several nodes."""

    def __init__(self, client: Client, worker: int) -> None:
        self.client, self.node, self.worker = client, client.node, worker
        self.local = worker - self.node.crew.first(self.node.index)
        self.barriers = 0
        self._gathers = 0
        self._begun = False

    # -- out and in ---------------------------------------------------------------------

    def release_all(self, but: int | None = None) -> None:
        """Complete all my writes at their homes; those at home `but` may still be on their way."""
        self.client.publish(self.node.everywhere())
        self.client.flush([home for home in self.node.others if home != but])

    def acquire_all(self, but: int | None = None) -> None:
        """Bring in all that is complete at other homes."""
        self.client.pull([home for home in self.node.others if home != but])

    # -- arrays ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Everything that is mapped so far is in step."""
        self._begun = True

    def mapped(self, root: Any, description: Any, array_id: int) -> None:
        """Know an array; one that comes in the middle of a run may have been written elsewhere."""
        replica = self.node.add(description, array_id, root._table.stripes)
        if self._begun:
            self._fence(replica)

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        """Complete my writes to the array, and bring in what is new of it."""
        replica = self.node.replicas[array_id]
        if rows is None or rows is Ellipsis:
            self._fence(replica)
        else:
            self._fence(replica, stripes_of(rows_in(array, rows), replica.block))

    def _fence(self, replica: Replica, stripes: NDArray[Any] | None = None) -> None:
        if stripes is None:
            homes = {home: replica.homes.of_node(home) for home in range(self.node.crew.nodes)}
            some = {home: (there.start, there.stop) for home, there in homes.items() if there}
        else:
            some = {home: neighbours(there) for home, there in replica.by_home(stripes).items()}
        twins = replica.twins
        self.client.publish({home: [(twins, *there)] for home, there in some.items()})
        known = {home: [(replica.array_id, twins.wish(*there))] for home, there in some.items()}
        asked = [(home, self.client.ask(home, "pull", known[home])) for home in known if home != self.node.index]
        for home, ticket in asked:
            answer = self.client.answer(home, ticket)
            self.client.take(home, answer, answer.content)

    # -- elements ---------------------------------------------------------------------------

    def operate(
        self,
        replica: Replica,
        home: int,
        where: tuple[Any, ...],
        op: str,
        values: tuple[Any, ...],
        here: Callable[[], Any],
    ) -> Any:
        """Do an atomic operation at its home, with all my writes before it and everybody's behind it."""
        self.release_all(but=home)
        if home == self.node.index:
            result = here()
            self.node.lines.note(home, [(replica.twins, where[-1])])
        else:
            ticket = self.client.ask(home, "atomic", op, where, values, self.node.known(home))
            answer = self.client.answer(home, ticket)
            result, blocks = answer.content
            self.client.take(home, answer, blocks)
        self.acquire_all(but=home)
        return result

    def accumulate(
        self,
        replica: Replica,
        positions: NDArray[np.intp],
        values: NDArray[Any],
        here: Callable[[NDArray[np.intp], NDArray[Any]], None],
        op: str,
    ) -> None:
        """Combine values into elements, one for each or one for all; `here` does it for those whose home is here."""
        several = len(values) > 1
        for home, where, what in self._by_home(replica, positions, values):
            if home == self.node.index:
                here(where, what)
                self.node.lines.note(home, [(replica.twins, replica.stripes_of(where))])
                continue
            for start in range(0, len(where), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                self.client.update(home, replica, where[part], what[part] if several else what, op)

    def _by_home(
        self, replica: Replica, positions: NDArray[np.intp], values: NDArray[Any]
    ) -> Iterator[tuple[int, NDArray[np.intp], NDArray[Any]]]:
        """Yield which updates have which home."""
        first, last = (replica.homes.node_of(replica.stripe_of(int(at))) for at in (positions.min(), positions.max()))
        if first == last:
            yield first, positions, values
            return
        stripes = positions * replica.itemsize // replica.stripe_bytes
        homes = np.searchsorted(replica.homes.bounds, stripes, side="right") - 1
        for home in np.unique(homes).tolist():
            chosen = homes == home
            yield home, positions[chosen], values[chosen] if len(values) > 1 else values

    def watch(self, home: int, where: tuple[Any, ...], op: str, value: Any, deadline: float | None) -> tuple[bool, Any]:
        """Wait at its home until an element is as wanted; say whether it is, and what."""
        ticket = self.client.ask(home, "wait", where, op, value, self.node.known(home))
        answer = self.client.answer(home, ticket, deadline)
        seen, found, blocks = answer.content
        self.client.take(home, answer, blocks)
        self.acquire_all(but=home)
        return seen, found

    # -- all workers ----------------------------------------------------------------------------

    def publish_share(self) -> None:
        """Tell homes my part of what was written on this node."""
        self.client.publish(self.node.everywhere(self.local, self.node.crew.counts[self.node.index]))

    def meet(self) -> None:
        """As the first worker of the node: wait until all nodes have told everything, and bring it in."""
        client, me = self.client, self.node.index
        homes = range(self.node.crew.nodes)
        asked = []
        for home in homes:
            known = [] if home == me else self.node.known(home)
            asked.append((home, client.ask(home, "meet", self.barriers + 1, known)))
        for home, ticket in asked:
            answer = client.answer(home, ticket)
            if home != me:
                client.take(home, answer, answer.content)

    def start(self, told: Sequence[int]) -> None:
        """As the first worker of the node: bring in what the parent told each home before the run."""
        homes = [home for home in range(self.node.crew.nodes) if self.node.index != 0 or home != 0]
        needs = {home: {0: told[home]} if home else {} for home in homes}
        asked = []
        for home in homes:
            known = [] if home == self.node.index else self.node.known(home)
            asked.append((home, self.client.ask(home, "pull", known, needs=needs[home])))
        for home, ticket in asked:
            answer = self.client.answer(home, ticket)
            if home != self.node.index:
                self.client.take(home, answer, answer.content)

    def gather(self, value: Any) -> list[Any]:
        """Return what each worker gives, to all."""
        self._gathers += 1
        ticket = self.client.ask(0, "gather", self._gathers, self.worker, value)
        values: list[Any] = self.client.answer(0, ticket).content
        return values

    def piece(self, ordinal: int, n: int, chunk: int, parts: int) -> range:
        """Return the next piece of a share of work; an empty one if there is nothing left."""
        start, stop = self.client.answer(0, self.client.ask(0, "share", ordinal, n, chunk, parts)).content
        return range(start, stop)
