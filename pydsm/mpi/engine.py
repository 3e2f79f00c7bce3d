"""What a worker does at each point of the contract when its node is one of several.

==================  =====================================  ==========================================
point               what goes out                          what comes in
==================  =====================================  ==========================================
enter a region      the wish, to each home in order        its rows, if they are new
leave it            its changed elements and the stripes
named lock, fence=  all changes, waited for                what is new, of all arrays
`fence`             changes of the array                   what is new of it
atomic operation    all changes, waited for; the operation its result, and what is new, of all arrays
barrier             all changes                            what is new, of all arrays
==================  =====================================  ==========================================

**Locks.**  A stripe's lock is the native word at its home.  Who works there takes it as on one machine;
everybody else asks the home's server, region by region in the order (array id, stripe), and takes the word
of its own node only after the grant: that one is free then, and says to `holds`, to nested regions and to
people who has it.  A region of rows here and elsewhere takes what is here when its turn comes in that order.

**Known limits.**  A deadlock through regions of several nodes is not found, as it is on one machine.  An atomic
operation looks through all arrays for what was written: their size is its cost.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.core.events import Hold, Observer
from pydsm.core.stripes import stripes_of
from pydsm.errors import LockTimeoutError
from pydsm.mpi.client import Client
from pydsm.mpi.replica import Part, Replica
from pydsm.observed.holds import rows_in
from pydsm.sync.locktable import LockTable, deadline_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Engine"]


@dataclass(frozen=True, slots=True)
class _Group:
    """Stripes of one array that a region has at one home."""

    home: int
    table: LockTable
    hold: Hold
    stripes: NDArray[Any]


class Engine(Observer):
    """The memory of a worker whose team is on several nodes."""

    def __init__(self, client: Client, worker: int) -> None:
        self.client, self.node, self.worker = client, client.node, worker
        self.local = worker - self.node.crew.first(self.node.index)
        self.barriers = 0
        self._gathers = 0
        self._depths: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        self._inner: defaultdict[int, list[Any]] = defaultdict(list)
        self._begun = False

    # -- out and in ---------------------------------------------------------------------

    def release_all(self, but: int | None = None) -> None:
        """Complete all my writes at their homes; those at home `but` may still be on their way."""
        self.client.publish(self.node.everything())
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
            intervals = rows_in(array, rows)
            self._fence(replica, replica.spans_of_rows(intervals), stripes_of(intervals, replica.block))

    def _fence(
        self, replica: Replica, spans: list[tuple[int, int]] | None = None, stripes: NDArray[Any] | None = None
    ) -> None:
        self.client.publish([(replica, spans)])
        asked = []
        for home in self.node.others:
            there: Any = replica.homes.of_node(home)
            if stripes is not None and len(there):
                there = stripes[(stripes >= there.start) & (stripes < there.stop)]
            if len(there):
                asked.append((home, self.client.ask(home, "pull", [replica.known(there)])))
        for home, ticket in asked:
            answer = self.client.answer(home, ticket)
            self.client.take(home, answer, answer.content)

    # -- regions and locks ------------------------------------------------------------------

    def acquiring(self, holds: Sequence[Hold]) -> None:
        """Ask the homes for what is not here, in order."""
        deadline = _deadline(holds)
        groups = list(self._groups(holds))
        last = max((place for place, group in enumerate(groups) if self._is_away(group)), default=-1)
        inner = self._inner[threading.get_ident()]
        entered = len(inner)
        had = []
        try:
            for group in groups[: last + 1]:
                if self._is_away(group):
                    self._ask(group, deadline)
                    had.append(group)
                else:
                    inner.append(self._take_here(group, deadline))
        except BaseException:
            self._leave_inner(entered)
            self._give(had)
            raise

    def _ask(self, group: _Group, deadline: float | None) -> None:
        """Get stripes from their home, except those that this thread has."""
        array_id, thread = group.table.array_id, threading.get_ident()
        keys = [(thread, array_id, int(stripe)) for stripe in group.stripes]
        new = np.array([key[2] for key in keys if not self._depths[key]], np.intp)
        if len(new):
            replica = self.node.replicas.get(array_id)
            known = None if replica is None else replica.versions[new].tolist()
            once = deadline is not None and deadline <= time.monotonic()
            ticket = self.client.ask(group.home, "acquire", array_id, new.tolist(), group.hold.shared, once, known)
            answer = self.client.answer(group.home, ticket, deadline)
            granted, content = answer.content
            if not granted:
                raise _timeout(group, content)
            for key in keys:
                self._depths[key] += 1
            self.client.take(group.home, answer, content)
        else:
            for key in keys:
                self._depths[key] += 1

    def _take_here(self, group: _Group, deadline: float | None) -> Any:
        """Take stripes that are home here, before others that come behind them in the order."""
        region = group.hold.region.widened(group.stripes)  # type: ignore[attr-defined]
        region.timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        region.__enter__()
        return region

    def _leave_inner(self, down_to: int = 0) -> None:
        inner = self._inner[threading.get_ident()]
        while len(inner) > down_to:
            inner.pop().__exit__(None, None, None)

    def acquired(self, holds: Sequence[Hold]) -> None:
        """Bring everything in, if the lock publishes everything."""
        self._leave_inner()
        if _is_wide(holds):
            self.acquire_all()

    def not_acquired(self, holds: Sequence[Hold]) -> None:
        """Give back what the homes gave."""
        self._leave_inner()
        self._give([group for group in self._groups(holds) if self._is_away(group)])

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        """Take the changes home, and the stripes back."""
        given = [group for group in self._groups(holds) if self._is_away(group)]
        if _is_wide(holds):
            self.release_all()
            self._give(given)
            return
        self._give(given, [hold for hold in holds if not hold.shared])

    def _give(self, groups: Sequence[_Group], written: Sequence[Hold] = ()) -> None:
        """Tell homes what was written in regions, and that stripes are theirs again."""
        thread = threading.get_ident()
        given: dict[int, list[tuple[int, list[int]]]] = {}
        for group in groups:
            left = []
            for stripe in group.stripes.tolist():
                key = thread, group.table.array_id, stripe
                self._depths[key] -= 1
                if self._depths[key] <= 0:
                    del self._depths[key]
                    left.append(stripe)
            if left:
                given.setdefault(group.home, []).append((group.table.array_id, left))
        wanted = []
        for hold in written:
            replica = self.node.replicas[hold.array_id]
            wanted.append((replica, replica.spans_of_rows(hold.rows)))
        rank = self.client.world.rank

        def post(home: int, number: int, parts: list[Part]) -> None:
            self.client.tell(home, "release", number, parts, rank, given.get(home, []))

        self.client.publish(wanted, post, always=list(given))

    def _is_away(self, group: _Group) -> bool:
        return group.home != self.node.index

    def _groups(self, holds: Sequence[Hold]) -> Iterator[_Group]:
        """Return which stripes of which home are meant, in the order in which they are taken."""
        by_array: dict[int, list[Hold]] = {}
        for hold in holds:
            by_array.setdefault(hold.array_id, []).append(hold)
        for array_id, same in sorted(by_array.items()):
            hold = same[0]
            table: LockTable = hold.table  # type: ignore[attr-defined]
            replica = self.node.replicas.get(array_id)
            if replica is None:
                yield _Group(self.node.home_of_lock(array_id), table, hold, np.zeros(1, np.intp))
                continue
            stripes = hold.stripes if len(same) == 1 else np.unique(np.concatenate([each.stripes for each in same]))
            if len(stripes) == 0:
                continue
            first = replica.homes.node_of(int(stripes[0]))
            if int(stripes[-1]) < replica.homes.bounds[first + 1]:  # all at one home, as nearly always
                yield _Group(first, table, hold, stripes)
                continue
            homes = np.searchsorted(replica.homes.bounds, stripes, side="right") - 1
            for home in np.unique(homes).tolist():
                yield _Group(home, table, hold, stripes[homes == home])

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
            self.client.publish([(replica, where[-1])])
        else:
            ticket = self.client.ask(home, "atomic", op, where, values, self.node.known(home))
            answer = self.client.answer(home, ticket)
            result, blocks = answer.content
            self.client.take(home, answer, blocks)
        self.acquire_all(but=home)
        return result

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
        count = self.node.crew.counts[self.node.index]
        wanted = []
        for replica in list(self.node.replicas.values()):
            stripes = replica.homes.stripes
            mine = range(stripes * self.local // count, stripes * (self.local + 1) // count)
            wanted.append((replica, replica.spans_of_stripes(mine)))
        self.client.publish(wanted)

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


def _is_wide(holds: Sequence[Hold]) -> bool:
    """Say whether holds publish all arrays: named locks do, and regions with ``fence=True``."""
    return any(hold.fence or hold.array is None for hold in holds)


def _deadline(holds: Sequence[Hold]) -> float | None:
    """Return when the time that holds may wait is over."""
    hold: Any = holds[0] if holds else None
    if hold is None:
        return None
    return hold.deadline if hold.array is None else deadline_of(hold.region.timeout)


def _timeout(group: _Group, content: tuple[int, list[str]]) -> LockTimeoutError:
    stripe, holders = content
    table = group.table
    hold: Any = group.hold
    owner = f"lock {table.name!r}" if hold.array is None else repr(hold.region)
    return LockTimeoutError(
        f"{owner} was not had in time: {table.what_is(stripe)} held by {', '.join(holders) or 'nobody now'}",
        name=table.name,
        rows=table.what_is(stripe),
        holders=holders,
    )
