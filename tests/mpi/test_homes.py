"""Two nodes in one process, messages carried by hand: in the orders that a network may choose."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pydsm.core.layout import Description, Team
from pydsm.mpi.home import Home
from pydsm.mpi.homes import Homes
from pydsm.mpi.lockqueue import LockQueue, Wanted
from pydsm.mpi.messages import Answer, Request, read, release
from pydsm.mpi.node import Node
from pydsm.mpi.nodes import Crew, Nodes
from pydsm.mpi.replica import Replica
from pydsm.native import Post
from pydsm.sync import datasegment, locksegment
from pydsm.sync.namespace import Namespace

CREW = Crew((0, 2), ((1,), (3,)))
ROWS = 8
NOBODY = (9, 9)


class FakeWorld:
    """Keeps what is sent."""

    rank = 0

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.packed_sent: list[bytes] = []
        nothing: Any = None
        self.packed = Post(self._isend, nothing, nothing, nothing, nothing, contextlib.nullcontext())

    def send(self, rank: int, tag: int, message: Any, *, wait: bool = True) -> None:
        self.sent.append(message)

    def _isend(self, memory: tuple[bytes, Any], rank: int, tag: int) -> FakeWorld:
        self.packed_sent.append(memory[0])
        self.sent.append(read(rank, bytearray(memory[0])))
        return self

    def Test(self) -> bool:
        """Say, as MPI's requests do, that the message is gone."""
        return True


class Side:
    """One of the two nodes: its replica of an array of one element a row, and what it is home of."""

    def __init__(self, index: int) -> None:
        self.namespace = Namespace.create(size=1)
        Node.make(self.namespace, CREW)
        self.node = Node(self.namespace, CREW, index)
        description = Description("A", (ROWS,), "'<i8'", 1)
        with self.namespace.creating():
            self.namespace.words.store(Team.NEXT_ID, 77)
            self.A = datasegment.create(self.namespace.name, description, self.namespace.permissions)
            Replica.make(self.namespace, description, self.A.nbytes, ROWS)
            self.locks = locksegment.create(self.namespace, description, ROWS)[1]
        self.replica = self.node.add(description, 77, ROWS)
        self.world = FakeWorld()
        self.home = Home(self.world, self.node, lambda request: None, lambda request: None)  # type: ignore[arg-type]
        self.home.locks[77] = self.locks

    def publish(self) -> list[Request]:
        """Return the messages that tell what was written here."""
        messages: list[Request] = []

        def post(home: int, number: int, content: bytes) -> None:
            message = read(9, bytearray(release(1, self.node.index, 9, number, content)))
            assert isinstance(message, Request)
            messages.append(message)

        self.node.publish(self.node.everywhere(), post)
        return messages

    def wish(self, home: int, needs: dict[int, int] | None = None) -> Request:
        """Return a request for what is new."""
        return Request("pull", 1, self.node.index, 0, needs or {}, NOBODY, 5, (self.node.known(home),))

    def ask(self, request: Request) -> Answer | None:
        """Let this node's home take a request; return the answer, if there is one now."""
        before = len(self.world.sent)
        self.home.take(request)
        return self.world.sent[-1] if len(self.world.sent) > before else None

    def merge(self, home: int, answer: Answer | None) -> list[Any]:
        """Bring an answer in; return what of it was too old."""
        assert answer is not None
        return self.node.merge(home, answer.applied, answer.content)


@pytest.fixture
def sides() -> Iterator[tuple[Side, Side]]:
    pair = Side(0), Side(1)
    yield pair
    for side in pair:
        side.namespace.close()


def test_an_answer_from_before_a_siblings_message_does_not_undo_it(sides: tuple[Side, Side]) -> None:
    home, away = sides
    home.A[1] = 5
    assert home.publish() == []
    early = home.ask(away.wish(0))  # row 1 is 5
    away.merge(0, early)
    home.A[1] = 6
    home.publish()
    late = home.ask(away.wish(0))  # row 1 is 6 ...
    away.A[1] = 7  # ... and a sibling, which had the lock then, has written it and told so
    (push,) = away.publish()
    old = away.merge(0, late)
    assert away.A[1] == 7
    assert old == [(77, [1])]
    assert home.ask(push) is None
    assert home.A[1] == 7
    assert away.merge(0, home.ask(away.wish(0))) == []
    assert away.A[1] == 7


def test_of_two_answers_the_newer_one_stays_whichever_comes_last(sides: tuple[Side, Side]) -> None:
    home, away = sides
    answers = []
    for value in (5, 6):
        home.A[2] = value
        home.publish()
        answers.append(home.ask(away.wish(0)))
    away.merge(0, answers[1])
    away.merge(0, answers[0])
    assert away.A[2] == 6


def test_what_is_written_while_an_answer_comes_in_is_told_later(sides: tuple[Side, Side]) -> None:
    home, away = sides
    home.A[:4] = 5
    home.publish()
    answer = home.ask(away.wish(0))
    away.A[3] = 8  # its owner's, who has the row, and in the same message from home
    away.A[0] = 0
    away.merge(0, answer)
    assert away.A[:4].tolist() == [5, 5, 5, 8]
    home.ask(away.publish()[0])
    assert home.A[3] == 8


def test_messages_of_one_node_are_taken_in_the_order_of_their_numbers(sides: tuple[Side, Side]) -> None:
    home, away = sides
    pushes = []
    for value in (1, 2, 3):
        away.A[0] = value
        pushes += away.publish()
    assert [push.number for push in pushes] == [1, 2, 3]
    home.ask(pushes[2])
    assert home.A[0] == 0
    home.ask(pushes[0])
    assert home.A[0] == 1
    home.ask(pushes[1])
    assert (home.A[0], home.home.applied) == (3, [0, 3])


def test_a_request_waits_for_what_it_needs(sides: tuple[Side, Side]) -> None:
    home, away = sides
    away.A[0] = 4
    (push,) = away.publish()
    assert home.ask(away.wish(0, {1: 1})) is None
    home.A[1] = 9
    home.publish()
    answer = home.ask(push)  # it is the answer to the request that waited
    assert answer is not None
    assert answer.applied == 1
    assert away.merge(0, answer) == []
    assert away.A[:2].tolist() == [4, 9]


def test_a_node_is_not_sent_back_what_it_wrote(sides: tuple[Side, Side]) -> None:
    home, away = sides
    for value in range(1, 5):
        away.A[2] = value
        home.ask(away.publish()[0])
        answer = home.ask(away.wish(0, {1: value}))
        assert answer is not None
        assert answer.content == []
    home.A[2] = 9
    home.publish()
    away.merge(0, home.ask(away.wish(0)))
    assert away.A[2] == 9
    assert home.publish() == []


def test_what_two_siblings_find_is_told_once(sides: tuple[Side, Side]) -> None:
    home, away = sides
    away.A[1] = 3
    twins, lines = away.replica.twins, away.node.lines
    found = twins.changed(0, ROWS)
    assert found == [(1, 2)]
    assert len(away.publish()) == 1
    assert lines.tell(0, [(twins, *found[0])]) == (0, b"")  # the other one looked before, and comes later
    assert (home.A[1], lines.sent(0)) == (0, 1)


def test_who_gives_a_row_back_has_a_message_though_nothing_was_written(sides: tuple[Side, Side]) -> None:
    _, away = sides
    assert away.node.lines.tell(0, [(away.replica.twins, 2, 3)], True) == (1, b"")
    assert away.node.lines.tell(0, [], True) == (2, b"")


def test_what_was_written_beside_a_stripe_stays_untold(sides: tuple[Side, Side]) -> None:
    home, away = sides
    away.A[:4] = [1, 2, 3, 4]
    number, content = away.node.lines.tell(0, [(away.replica.twins, np.array([0, 2]))])
    home.home.take(read(9, bytearray(release(1, 1, 9, number, content))))  # type: ignore[arg-type]
    assert home.A[:4].tolist() == [1, 0, 3, 0]
    assert away.replica.twins.changed(0, ROWS) == [(1, 2), (3, 4)]


def _never(wanted: Wanted, error: Exception) -> None:
    raise AssertionError(f"{wanted} is refused: {error}")


def _wanted(rank: int, stripes: list[int], *, shared: bool = False) -> Wanted:
    return Wanted(Request("acquire", 1, 1, 0, {}, (rank, 2), rank, ()), 77, stripes, shared)


def test_far_ranks_and_workers_at_home_meet_in_one_word(sides: tuple[Side, Side]) -> None:
    home, _ = sides
    queue = LockQueue({77: home.locks}.__getitem__, _never)
    me = home.locks.me()
    assert queue.ask(_wanted(3, [1, 2]))
    assert [home.locks.holder(stripe) for stripe in (0, 1, 2)] == [0, me, me]
    first, second = _wanted(4, [0, 2]), _wanted(5, [0])
    assert not queue.ask(first)  # has 0, waits for 2
    assert not queue.ask(second)
    assert queue.turn() == []
    queue.give(3, 77, [1, 2])
    assert queue.turn() == [first]
    assert queue.turn() == []
    queue.give(4, 77, [0, 2])
    assert queue.turn() == [second]
    queue.give(5, 77, [0])
    assert not any(home.locks.holder(stripe) for stripe in range(ROWS))


def test_sharers_are_let_in_together_but_not_past_a_writer(sides: tuple[Side, Side]) -> None:
    home, _ = sides
    queue = LockQueue({77: home.locks}.__getitem__, _never)
    assert queue.ask(_wanted(3, [1], shared=True))
    assert queue.ask(_wanted(4, [1], shared=True))
    writer, reader = _wanted(5, [1]), _wanted(6, [1], shared=True)
    assert not queue.ask(writer)
    assert not queue.ask(reader)
    queue.give(3, 77, [1])
    assert queue.turn() == []
    queue.give(4, 77, [1])
    assert queue.turn() == [writer]
    queue.give(5, 77, [1])
    assert queue.turn() == [reader]
    assert queue.give_all(6) == [(77, 1)]
    assert home.locks.sharers(1) == 0


def test_who_gives_up_leaves_nothing_taken(sides: tuple[Side, Side]) -> None:
    home, _ = sides
    queue = LockQueue({77: home.locks}.__getitem__, _never)
    assert queue.ask(_wanted(3, [2]))
    waiting = _wanted(4, [0, 1, 2])
    assert not queue.ask(waiting)
    assert queue.cancel(waiting.request.asker, waiting.request.ticket) is waiting
    assert [home.locks.holder(stripe) for stripe in (0, 1)] == [0, 0]
    assert len(queue) == 0
    assert queue.give_all(3) == [(77, 2)]
    assert home.locks.holder(2) == 0


def test_homes_are_blocks_of_whole_stripes_over_nodes_with_workers() -> None:
    homes = Homes(10, (0, 2, 1))
    assert [list(homes.of_node(node)) for node in range(3)] == [[], list(range(6)), list(range(6, 10))]
    assert [homes.node_of(stripe) for stripe in range(10)] == [1] * 6 + [2] * 4
    assert [each for worker in range(3) for each in homes.of_worker(worker)] == list(range(10))


def test_a_crew_is_the_first_workers_and_the_nodes_that_they_need() -> None:
    nodes = Nodes.read("0,1,2|3|4,5", 6)
    assert nodes.available == 3
    assert nodes.crew(2) == Crew((0,), ((1, 2),))
    assert nodes.crew(None) == Crew((0, 3, 4), ((1, 2), (), (5,)))
    assert Nodes.read("0|1,2", 3).crew(1) == Crew((0, 1), ((), (2,)))
    with pytest.raises(ValueError, match="a team of 4 workers is asked for, and this MPI job has 3"):
        nodes.crew(4)
    with pytest.raises(ValueError, match="no worker"):
        Nodes.read("0|1", 2).crew(None)
    with pytest.raises(ValueError, match="names each of the ranks 0 to 2 once"):
        Nodes.read("0,1|1", 3)
