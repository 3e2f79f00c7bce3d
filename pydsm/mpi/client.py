"""Asking homes: the worker's side of `pydsm.mpi.home`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.mpi.messages import Answer, Request, release, update, wish
from pydsm.mpi.node import Node
from pydsm.mpi.replica import Block, Replica, Some
from pydsm.mpi.stopping import whole
from pydsm.mpi.world import EAGER, SERVER, Patience, Transfer, World
from pydsm.native import Caller, next_ticket

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Client", "Given"]

Given = list[tuple[int, list[int]]]
"""Stripes that are given back, by array."""
_AHEAD: Final = 256  # messages that a home may be behind
_LONGEST: Final = 0.0005  # seconds of sleep between two looks for an answer
_SPIN: Final = 0.002
_BACK: Final = 0.005  # seconds for which who tells something stands back
_NAP: Final = 0.0001


class Client:
    """A process that asks the homes of one team.

    Parameters
    ----------
    world : World
    node : Node
    team : int
    tag : int
        Of the answers.
    step : callable
        Takes one message that is for this process and comes within some seconds, and hands answers to `deliver`;
        says whether there was one.
    take : callable, optional
        Does what `step` does with a message that was received, if this process has its messages to itself.
    """

    def __init__(
        self,
        world: World,
        node: Node,
        team: int,
        tag: int,
        step: Callable[[float], bool],
        take: Callable[[int, bytearray], None] | None = None,
    ) -> None:
        self.world, self.node, self.team = world, node, team
        self.asker = world.rank, tag
        self.caller = Caller(
            world.packed,
            node.lines,
            node.crew.servers,
            SERVER,
            tag,
            team,
            node.index,
            world.rank,
            EAGER,
            take=take,
            answer=self.answer,
            wait=self.wait_for,
            withdraw=self.withdraw,
            pull=self.pull,
            settle=world.settle,
        )
        self._step = step
        self._answers: dict[int, Answer] = {}
        self._unwanted: set[int] = set()

    def deliver(self, answer: Answer) -> None:
        """Take an answer that has come."""
        if answer.ticket in self._unwanted:
            self._unwanted.discard(answer.ticket)
        else:
            self._answers[answer.ticket] = answer

    def tell(self, home: int, number: int, content: bytes, given: Given | None = None) -> None:
        """Send a home a numbered message: what was written, and what is given back."""
        message = release(self.team, self.node.index, self.world.rank, number, content, given)
        self.world.packed.send(self.node.crew.servers[home], SERVER, "push" if given is None else "release", message)

    def update(self, home: int, replica: Replica, positions: NDArray[np.intp], values: NDArray[Any], op: str) -> None:
        """Send values to be combined into elements of a home; here they are combined at once."""
        node, array_id = self.node, replica.array_id
        stripes = replica.stripes_of(positions)
        self.stand_back(home)
        with whole():
            number, content = replica.twins.update(node.lines, home, stripes, positions, values, op, True)
            message = update(self.team, node.index, number, array_id, content, positions, values, op)
            self.world.packed.send(node.crew.servers[home], SERVER, "update", message)
        self.world.settle()
        if number - node.lines.heard(home) > _AHEAD:
            self.flush([home])  # a home that is slower than its nodes is not to be buried

    def publish(self, wanted: dict[int, list[Some]]) -> None:
        """Make known what was written here; see `Node.publish`."""
        for home in wanted:
            if home != self.node.index:
                self.stand_back(home)
        self.node.publish(wanted, self.tell)
        self.world.settle()

    def wish(self, home: int, ticket: int, array_id: int, known: bytes, *, shared: bool, once: bool) -> None:
        """Ask a home for stripes."""
        node = self.node
        needs = node.lines.sent(home) if home != node.index else 0
        options = shared + 2 * once
        message = wish(self.team, node.index, self.asker, ticket, needs, array_id, known, options)
        self.world.packed.send(node.crew.servers[home], SERVER, "acquire", message)
        self.world.settle()

    def ask(self, home: int, kind: str, *body: Any, needs: Mapping[int, int] | None = None) -> int:
        """Send a home a request; return its ticket.

        Unless `needs` says so it is answered after all that this node has told the home so far.
        """
        ticket = next_ticket()
        if needs is None:
            needs = {self.node.index: self.node.lines.sent(home)} if home != self.node.index else {}
        self._send(home, Request(kind, self.team, self.node.index, 0, needs, self.asker, ticket, body))
        return ticket

    def wait(self, transfer: Transfer | None, ticket: int) -> None:
        """Take what comes until a transfer is done, or until there is an answer: one that says it will never be.

        Memory moves only while both sides look after it, so this looks again and again for a while before it yields.
        """
        patience = Patience(_LONGEST)
        until = time.monotonic() + _SPIN
        while transfer is None or not transfer.done():
            answer = self._answers.get(ticket)
            if answer is not None and (transfer is None or answer.error):
                return
            if self._step(0.0 if transfer else EAGER):
                until = time.monotonic() + _SPIN
            elif time.monotonic() >= until:
                patience.wait()

    def give_up(self, ticket: int) -> None:
        """Want an answer no more."""
        if self._answers.pop(ticket, None) is None:
            self._unwanted.add(ticket)

    def _send(self, home: int, request: Request) -> None:
        self.world.send(self.node.crew.servers[home], SERVER, request)

    def answer(self, home: int, ticket: int, deadline: float | None = None) -> Answer:
        """Wait for the answer; after the deadline the request is given up, which is answered, too.

        Raises
        ------
        Exception
            Whatever the home answered with.
        """
        try:
            answer = self.wait_for(home, ticket, deadline)
        except BaseException:
            self.give_up(ticket)
            self._cancel(home, ticket)
            raise
        if answer.error:
            raise answer.content
        return answer

    def wait_for(self, home: int, ticket: int, deadline: float | None = None) -> Answer:
        """Wait for the answer, which may be an error; who is interrupted gives the request up himself."""
        patience = Patience(_LONGEST)
        eager = EAGER if deadline is None else min(EAGER, max(0.0, deadline - time.monotonic()))
        while (answer := self._answers.pop(ticket, None)) is None:
            if self._step(eager):
                patience.reset()
                eager = EAGER if deadline is None else 0.0
                continue
            if deadline is not None and time.monotonic() >= deadline:
                deadline = None
                self._cancel(home, ticket)
            patience.wait()
            eager = 0.0
        return answer

    def withdraw(self, home: int, ticket: int, array_id: int, stripes: list[int], shared: bool) -> None:
        """Give up a request for stripes that was interrupted: the home takes back what it may have granted already."""
        self.give_up(ticket)
        self._cancel(home, ticket, (array_id, stripes, shared))

    def _cancel(self, home: int, ticket: int, granted: tuple[int, list[int], bool] | None = None) -> None:
        request = Request("cancel", self.team, self.node.index, 0, {}, self.asker, 0, (ticket, granted))
        self._send(home, request)

    # -- what is asked often ------------------------------------------------------------

    def pull(self, homes: list[int], needs: Mapping[int, Mapping[int, int]] | None = None) -> None:
        """Bring in what is new at homes, of all arrays."""
        asked = [
            (home, self.ask(home, "pull", self.node.known(home), needs=None if needs is None else needs[home]))
            for home in homes
        ]
        for home, ticket in asked:
            answer = self.answer(home, ticket)
            self.take(home, answer, answer.content)

    def take(self, home: int, answer: Answer, blocks: Iterable[Block]) -> None:
        """Merge blocks of an answer; ask again for those of which it was too old.

        Siblings that tell the home something all the time would make each answer too old: they are asked to stand back.
        """
        held = 0
        try:
            while old := self.node.merge(home, answer.applied, blocks):
                if not held:
                    held = 1
                    self.node.lines.hold_back(home, 1)
                twins = {array_id: self.node.replicas[array_id].twins for array_id, _ in old}
                known = [(array_id, twins[array_id].wish(np.array(stripes))) for array_id, stripes in old]
                answer = self.answer(home, self.ask(home, "pull", known))
                blocks = answer.content
        finally:
            if held:
                self.node.lines.hold_back(home, -1)

    def stand_back(self, home: int) -> None:
        """Let a sibling get an answer that is not too old, for some milliseconds at most."""
        until = time.monotonic() + _BACK
        while self.node.lines.stands_back(home) and time.monotonic() < until:
            time.sleep(_NAP)

    def flush(self, homes: list[int]) -> None:
        """Wait until homes have had all that this node has told them so far."""
        lines = self.node.lines
        late = [home for home in homes if lines.sent(home) > lines.heard(home)]
        asked = [(home, self.ask(home, "pull", [])) for home in late]
        for home, ticket in asked:
            lines.hear(home, self.answer(home, ticket).applied)
