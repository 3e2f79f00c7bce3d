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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import Hold
from pydsm.errors import LockTimeoutError
from pydsm.mpi.client import Client, Given
from pydsm.mpi.exchange import Exchange
from pydsm.mpi.replica import Some, neighbours
from pydsm.mpi.stopping import whole
from pydsm.native import Region
from pydsm.sync.locktable import LockTable, deadline_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Engine"]

_LOCK: Final = Struct("<QQQ").pack(0, 1, 0)
"""The wish for a named lock: its one stripe, of which there are no versions."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Stripes of one array that a region has at one home."""

    home: int
    table: LockTable
    hold: Hold
    stripes: NDArray[Any]


class Engine(Exchange):
    """The memory of a worker whose team is on several nodes."""

    def __init__(self, client: Client, worker: int) -> None:
        super().__init__(client, worker)
        self._depths = client.caller.depths
        self._inner: defaultdict[int, list[Any]] = defaultdict(list)

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
        keys = [(thread, array_id, stripe) for stripe in group.stripes.tolist()]
        new = self._new(keys)
        if new:
            hold: Any = group.hold
            region = None if hold.array is None else hold.region
            self._want(group.home, group.table, region, hold.shared, new, deadline)
        for key in keys:
            self._depths[key] = self._depths.get(key, 0) + 1

    def _new(self, keys: Sequence[tuple[int, int, int]]) -> list[int]:
        """Return the stripes that this thread does not have."""
        waited = [key[2] for key in keys if self._depths.get(key, 0) < 0]
        if waited:  # by a signal's handler, in the middle of a wait
            raise RuntimeError(f"stripe {waited[0]} cannot be had here: this very thread is waiting for it")
        return [key[2] for key in keys if key not in self._depths]

    def _want(
        self, home: int, table: LockTable, region: Any, shared: bool, stripes: list[int], deadline: float | None
    ) -> None:
        """Have stripes of one home, and its rows."""
        client, array_id = self.client, table.array_id
        replica = self.node.replicas.get(array_id)
        first, stop = stripes[0], stripes[-1] + 1
        if replica is None:
            known = _LOCK
        elif stop - first == len(stripes):
            known = replica.twins.wish(first, stop)
        else:
            known = replica.twins.wish(np.array(stripes))
        once = deadline is not None and deadline <= time.monotonic()
        ticket = client.wish(home, array_id, known, shared=shared, once=once)
        refused = False
        try:
            answer = client.wait_for(home, ticket, deadline)
            refused = answer.error or not answer.content[0]
            if not refused and len(answer.content[1]):
                client.take(home, answer, [(array_id, answer.content[1])])
        except BaseException:
            client.withdraw(home, ticket, array_id, stripes, shared)
            raise
        if answer.error:
            raise answer.content
        if refused:
            raise _timeout(table, region, answer.content[1])

    # -- a region whose rows have one home, as nearly all have -----------------------------

    def enter(self, home: int, region: Region, stripes: range) -> None:
        """Have neighbouring stripes of another home for this thread, for `HomedRegion`, which takes them home."""
        table: LockTable = region.locks.policy
        thread, array_id, depths = threading.get_ident(), table.array_id, self._depths
        deadline = None if region.timeout is None else deadline_of(region.timeout)
        keys = [(thread, array_id, stripe) for stripe in stripes]
        if new := self._new(keys):
            self._want(home, table, region, region.shared, new, deadline)
        for key in keys:
            depths[key] = depths.get(key, 0) + 1

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
        given: dict[int, Given] = {}
        for group in groups:
            array_id = group.table.array_id
            if left := [stripe for stripe in group.stripes.tolist() if self.client.caller.count_left(array_id, stripe)]:
                given.setdefault(group.home, []).append((array_id, left))
        wanted: dict[int, list[Some]] = {home: [] for home in given}
        for hold in written:
            replica = self.node.replicas[hold.array_id]
            for home, stripes in replica.by_home(np.asarray(hold.stripes)).items():
                wanted.setdefault(home, []).append((replica.twins, *neighbours(stripes)))
        for home, some in wanted.items():
            parts = self.node.existing(some)
            if home == self.node.index:
                self.node.lines.note(home, parts)
                continue
            with whole():
                number, content = self.node.lines.tell(home, parts, home in given)
                if number:
                    self.client.tell(home, number, content, given.get(home, []))
        self.client.world.settle()

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
            for home, there in replica.by_home(stripes).items():
                yield _Group(home, table, hold, there)


def _is_wide(holds: Sequence[Hold]) -> bool:
    """Say whether holds publish all arrays: named locks do, and regions with ``fence=True``."""
    return any(hold.fence or hold.array is None for hold in holds)


def _deadline(holds: Sequence[Hold]) -> float | None:
    """Return when the time that holds may wait is over."""
    hold: Any = holds[0] if holds else None
    if hold is None:
        return None
    return hold.deadline if hold.array is None else deadline_of(hold.region.timeout)


def _timeout(table: LockTable, region: Any, content: tuple[int, list[str]]) -> LockTimeoutError:
    stripe, holders = content
    owner = f"lock {table.name!r}" if region is None else repr(region)
    return LockTimeoutError(
        f"{owner} was not had in time: {table.what_is(stripe)} held by {', '.join(holders) or 'nobody now'}",
        name=table.name,
        rows=table.what_is(stripe),
        holders=holders,
    )
