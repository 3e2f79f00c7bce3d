"""A home: what one node's server does for a team, request by request.

Nothing here waits.  What cannot be answered yet is put aside: messages that came too early (`_early`), locks
(`LockQueue`), elements that are not as wanted (`_watched`), and those who meet (`_meetings`, `_gathered`).
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from pydsm import native
from pydsm.errors import BrokenBarrierError, WaitTimeoutError
from pydsm.mpi.lockqueue import LockQueue, Wanted
from pydsm.mpi.messages import Answer, Request, grant
from pydsm.mpi.node import Node
from pydsm.mpi.parcels import Parcels
from pydsm.mpi.world import World
from pydsm.native import Desk, StripeLocks, Twins

__all__ = ["Home"]


class Home:
    """One team's rows, locks and meetings on the node that this process serves.

    Parameters
    ----------
    world : World
    node : Node
    make, drop : callable
        Make or remove an array on all nodes; called on node 0 only.
    """

    def __init__(
        self, world: World, node: Node, make: Callable[[Request], None], drop: Callable[[Request], None]
    ) -> None:
        self.world, self.node = world, node
        self.applied = [0] * node.crew.nodes
        self.locks: dict[int, StripeLocks] = {}
        self.queue = LockQueue(self.locks.__getitem__, lambda wanted, error: self.refuse(wanted.request, error))
        self.on_leftovers: Callable[[list[str]], None] = lambda sentences: None
        self._early: list[Request] = []
        queue, give, share = self.queue, self.queue.give, self.queue.share
        self.desk = Desk(
            world.packed,
            node.lines,
            node.index,
            self.applied,
            self.locks,
            node.twins,
            queue.held,
            queue.lines,
            self._early,
            give=give,
            share=share,
            go_on=self._go_on,
        )
        """Does what nearly every packed message wants at once; all else is for `take`."""
        self._watched: list[Request] = []
        self._roots: dict[int, Any] = {}
        self._elements: dict[tuple[tuple[int, int], int], Any] = {}
        self._meetings: dict[int, dict[int, Request]] = {}
        self._gathered: dict[int, dict[int, Request]] = {}
        self._shares: dict[int, tuple[int, int]] = {}
        self.parcels = Parcels(world, node, self.answer, self.refuse, self.take)
        self._left: dict[int, int] = {}  # workers that have returned, and how many barriers they had been in
        self._do = {
            "push": self._push,
            "release": self._release,
            "update": self._update,
            "acquire": self._acquire,
            "cancel": self._cancel,
            "pull": self._pull,
            "fetch": self.parcels.fetch,
            "store": self._store,
            "atomic": self._atomic,
            "wait": self._wait,
            "meet": self._meet,
            "gather": self._gather,
            "share": self._share,
            "left": self._leave,
            "make": make,
            "drop": drop,
        }

    def begin_run(self) -> None:
        """Forget who met and who left in the run before."""
        self._meetings.clear()
        self._gathered.clear()
        self._shares.clear()
        self._left.clear()
        self._watched.clear()
        self._elements.clear()

    # -- in order -----------------------------------------------------------------------

    def take(self, request: Request) -> None:
        """Do what a request wants, now or when what it needs has come."""
        if not self.parcels.is_here(request):
            return
        if not self._is_due(request):
            self._early.append(request)
            return
        self._act(request)
        self._go_on()

    def _go_on(self) -> None:
        """Do what came too early, and is due by now."""
        while self._early and (due := [early for early in self._early if self._is_due(early)]):
            self._early.remove(due[0])
            self._act(due[0])

    def _is_due(self, request: Request) -> bool:
        if request.number and request.number != self.applied[request.node] + 1:
            return False
        return not request.needs or all(self.applied[node] >= number for node, number in request.needs.items())

    def _act(self, request: Request) -> None:
        try:
            self._do[request.kind](request)
        except Exception as error:
            if not request.ticket:
                raise
            self.refuse(request, error)
        if request.number:
            self.applied[request.node] = request.number

    def turn(self) -> bool:
        """Try again what had to wait; say whether anything could be done."""
        ready = self.queue.turn() if len(self.queue) else []
        for wanted in ready:
            self._grant(wanted)
        seen = [request for request in self._watched if self._look(request)]
        if seen:
            self._watched = [request for request in self._watched if request not in seen]
        return self.parcels.turn() or bool(ready or seen)

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for what may come without a message."""
        return bool(len(self.queue) or self._watched or len(self.parcels))

    def answer(self, request: Request, content: Any, *, error: bool = False) -> None:
        """Answer a request."""
        message = Answer("answer", request.ticket, self.applied[request.node], error, content)
        self.world.send(*request.asker, message, wait=False)

    def refuse(self, request: Request, error: Exception) -> None:
        """Answer a request with an exception."""
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))
            self.answer(request, error, error=True)
            return
        self.answer(request, RuntimeError(f"{type(error).__name__}: {error}"), error=True)

    # -- rows and locks --------------------------------------------------------------------

    def _push(self, request: Request) -> None:
        self.node.receive(request.body[0])

    def _release(self, request: Request) -> None:
        content, rank, given = request.body
        if content:
            self.node.receive(content)
        for array_id, stripes in given:
            self.queue.give(rank, array_id, stripes)

    def _update(self, request: Request) -> None:
        array_id, op, content, positions, values = request.body
        self.node.receive(content)
        replica = self.node.replicas.get(array_id)
        if replica is None:
            return
        stripes, given = replica.stripes_of(positions), np.frombuffer(values, replica.dtype)
        replica.twins.update(self.node.lines, self.node.index, stripes, positions, given, op, False)
        locks = self.locks[array_id]
        if any(locks.waiters(stripe) for stripe in stripes.tolist()):
            locks.policy.wake_watchers(locks, None)

    def _acquire(self, request: Request) -> None:
        array_id, wish, shared, once = request.body
        wanted = Wanted(request, array_id, Twins.stripes_in(wish), shared)
        if self.queue.ask(wanted):
            self._grant(wanted)
        elif once:
            self._give_up(wanted)

    def _grant(self, wanted: Wanted) -> None:
        request, block = wanted.request, b""
        replica = self.node.replicas.get(wanted.array_id)
        if replica is not None:
            block = replica.twins.collect(self.node.lines, self.node.index, request.body[1])
        content = grant(request.ticket, self.applied[request.node], block)
        self.world.packed.send(*request.asker, "answer", content)

    def _cancel(self, request: Request) -> None:
        ticket, granted = request.body
        for early in self._early:
            if (early.asker, early.ticket) == (
                request.asker,
                ticket,
            ) and not early.number:  # others wait behind numbers
                self._early.remove(early)
                first = next(iter(Twins.stripes_in(early.body[1])), 0) if early.kind == "acquire" else 0
                self.answer(early, (False, None, []) if early.kind == "wait" else (False, (first, [])))
                return
        for watched in self._watched:
            if (watched.asker, watched.ticket) == (request.asker, ticket):
                self._watched.remove(watched)
                self._elements.pop((watched.asker, watched.ticket), None)
                self.answer(watched, (False, None, []))
                return
        wanted = self.queue.find(request.asker, ticket)
        if wanted is not None:
            self._give_up(wanted)
        elif granted is not None:
            array_id, stripes, shared = granted
            self.queue.give_granted(request.asker[0], ticket, array_id, stripes, shared=shared)

    def _give_up(self, wanted: Wanted) -> None:
        """Answer a request for locks that it was not had, and who has it."""
        array_id, stripe = wanted.key
        locks, crew = self.locks[array_id], self.node.crew
        me = self.node.namespace.slots.name(locks.me() - 1)
        holders = [name for name in locks.policy.holders(locks, stripe) if name != me]
        ranks = [rank for workers in crew.workers for rank in workers]
        holders += [f"rank {ranks.index(rank)}" for rank in self.queue.holders(wanted) if rank in ranks]
        self.queue.cancel(wanted.request.asker, wanted.request.ticket)
        self.answer(wanted.request, (False, (stripe, holders)))

    def _pull(self, request: Request) -> None:
        self.answer(request, self.node.collect(request.body[0]))

    def _store(self, request: Request) -> None:
        self.parcels.store(request)
        self.applied[request.node] = request.number
        if request.ticket:
            self.answer(request, None)

    # -- elements --------------------------------------------------------------------------

    def _atomic(self, request: Request) -> None:
        op, where, values, known = request.body
        array = self._find(where)
        result = getattr(native, op)(array, (), *values)
        self._note_changes(where)
        self.answer(request, (result, self.node.collect(known)))

    def _note_changes(self, where: tuple[Any, ...]) -> None:
        """Give stripes of which elements were changed in place a new version."""
        replica = self.node.by_name.get(where[0])
        if replica is not None:
            self.node.lines.note(self.node.index, [(replica.twins, where[-1])])

    def _find(self, where: tuple[Any, ...]) -> Any:
        """Return the element that a request is about."""
        from pydsm.mpi.array import element_at, whole_array

        name, offset, dtype, _ = where
        array_id = self.node.by_name[name].array_id
        root = self._roots.get(array_id)
        if root is None:
            root = self._roots[array_id] = whole_array(self.node.namespace, name)
        return element_at(root, offset, dtype)

    def forget(self, array_id: int) -> None:
        """Know an array no more, but for its locks: who has it mapped goes on with them."""
        self._roots.pop(array_id, None)

    def _wait(self, request: Request) -> None:
        where = request.body[0]
        self._elements[request.asker, request.ticket] = self._find(where)
        if not self._look(request):
            self._watched.append(request)

    def _look(self, request: Request) -> bool:
        _, op, value, known = request.body
        key = request.asker, request.ticket
        try:
            found = native.wait_until(self._elements[key], (), op, value, 0)
        except WaitTimeoutError:
            return False
        except Exception as error:
            self._elements.pop(key)
            self.refuse(request, error)
            return True
        self._elements.pop(key)
        self._note_changes(request.body[0])  # who changed it may not have done so yet
        self.answer(request, (True, found, self.node.collect(known)))
        return True

    # -- all workers -----------------------------------------------------------------------

    def _meet(self, request: Request) -> None:
        generation = request.body[0]
        come = self._meetings.setdefault(generation, {})
        come[request.node] = request
        if len(come) == sum(1 for workers in self.node.crew.workers if workers):
            del self._meetings[generation]
            for each in come.values():
                self.answer(each, self.node.collect(each.body[1]))
        else:
            self._break_meetings()

    def _leave(self, request: Request) -> None:
        """Know that a worker has returned, after so many barriers; take back what it holds still."""
        worker, barriers = request.body
        self._left[worker] = barriers
        self._break_meetings()
        held = self.queue.give_all(self.node.crew.rank_of(worker))
        if held:
            rows = [self.locks[array_id].policy.full_name(stripe) for array_id, stripe in held]
            self.on_leftovers([f"rank {worker} ended holding {each}" for each in rows])

    def _break_meetings(self) -> None:
        """Tell those who wait for a worker that has returned."""
        for generation, come in list(self._meetings.items()):
            gone = sorted(worker for worker, barriers in self._left.items() if barriers < generation)
            if gone:
                del self._meetings[generation]
                who = f"rank {', '.join(map(str, gone))}"
                for request in come.values():
                    error = BrokenBarrierError(f"the barrier can never be complete: {who} returned without coming")
                    self.refuse(request, error)

    def _gather(self, request: Request) -> None:
        number, worker, _ = request.body
        given = self._gathered.setdefault(number, {})
        given[worker] = request
        if len(given) == self.node.crew.size:
            del self._gathered[number]
            values = [given[worker].body[2] for worker in range(self.node.crew.size)]
            for each in given.values():
                self.answer(each, values)

    def _share(self, request: Request) -> None:
        ordinal, n, chunk, parts = request.body
        place, length = self._shares.setdefault(ordinal, (0, n))
        if length != n:
            raise ValueError(
                f"a worker called share({n}), and another share({length}) instead: "
                "all workers call share in the same order, with the same n"
            )
        size = min(n - place, chunk or max(1, (n - place) // parts))
        self._shares[ordinal] = (place + size, n)
        self.answer(request, (place, place + size))
