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
from pydsm.native import Region, next_ticket
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
        """Have stripes of a group for this thread."""
        hold: Any = group.hold
        region = None if hold.array is None else hold.region
        self._have(group.home, group.table, region, hold.shared, group.stripes.tolist(), deadline)

    def _have(
        self, home: int, table: LockTable, region: Any, shared: bool, stripes: list[int], deadline: float | None
    ) -> None:
        """Have stripes of one home for this thread, and their rows: it asks for those that it does not have.

        Whoever is interrupted, at whatever point, has none of them more than before.
        """
        array_id, thread, depths = table.array_id, threading.get_ident(), self._depths
        before = {(thread, array_id, stripe): depths.get((thread, array_id, stripe), 0) for stripe in stripes}
        waited = [key[2] for key, depth in before.items() if depth < 0]
        if waited:  # by a signal's handler, in the middle of a wait
            raise RuntimeError(f"stripe {waited[0]} cannot be had here: this very thread is waiting for it")
        new = [key[2] for key, depth in before.items() if not depth]
        ticket, asked = next_ticket(), bool(new)
        try:
            if new:
                depths.update((key, -1) for key, depth in before.items() if not depth)
                refusal = self._want(home, ticket, table, region, shared, new, deadline)
                if refusal is not None:
                    asked = False
                    raise refusal
            depths.update((key, depth + 1) for key, depth in before.items())
        except BaseException:
            for key, depth in before.items():
                if depth:
                    depths[key] = depth
                else:
                    depths.pop(key, None)
            if asked:
                self.client.withdraw(home, ticket, array_id, new, shared)
            raise

    def _want(
        self,
        home: int,
        ticket: int,
        table: LockTable,
        region: Any,
        shared: bool,
        stripes: list[int],
        deadline: float | None,
    ) -> Exception | None:
        """Get stripes of one home, and its rows; return why, if it has refused them."""
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
        client.wish(home, ticket, array_id, known, shared=shared, once=once)
        answer = client.wait_for(home, ticket, deadline)
        if answer.error:
            error: Exception = answer.content
            return error
        granted, content = answer.content
        if not granted:
            return _timeout(table, region, content)
        if len(content):
            client.take(home, answer, [(array_id, content)])
        return None

    # -- a region whose rows have one home, as nearly all have -----------------------------

    def enter(self, home: int, region: Region, stripes: range) -> None:
        """Have neighbouring stripes of another home for this thread, for `HomedRegion`, which takes them home."""
        deadline = None if region.timeout is None else deadline_of(region.timeout)
        self._have(home, region.locks.policy, region, region.shared, list(stripes), deadline)

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
        try:
            for group in groups:
                array_id = group.table.array_id
                counted = self.client.caller.count_left
                if left := [stripe for stripe in group.stripes.tolist() if counted(array_id, stripe)]:
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
                else:
                    self._tell(home, parts, given)
        finally:
            for home in list(given):  # somebody was interrupted: what was written is told later
                self._tell(home, [], given)
        self.client.world.settle()

    def _tell(self, home: int, parts: list[Some], given: dict[int, Given]) -> None:
        """Tell a home what was written, and what it is given back."""
        with whole():
            number, content = self.node.lines.tell(home, parts, home in given)
            if number:
                self.client.tell(home, number, content, given.pop(home, []))

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
