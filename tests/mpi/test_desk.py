"""The native steps of regions that have their home elsewhere, at both ends: messages are carried by hand."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from pydsm.core import names
from pydsm.core.layout import LINE, Participant
from pydsm.errors import OwnerDiedError
from pydsm.ipc import segment
from pydsm.mpi.lockqueue import _KEPT
from pydsm.mpi.messages import _HEAD, Answer, Request, grant, read, release, wish
from pydsm.native import MESSAGE_KINDS, Caller, HomedRegion, Post, next_ticket
from pydsm.sync import locksegment
from tests.mpi.test_homes import Side, sides

__all__ = ["sides"]

TAG = 2


class Carrier:
    """An MPI of one rank: what is sent is kept; what is put in is found, the first of a tag first."""

    def __init__(self, guard: Any = None) -> None:
        self.sent: list[tuple[int, int, bytes]] = []
        self.inbox: list[tuple[int, int, bytes]] = []
        self.stuck = 0
        self.on_send: Callable[[bytes], None] = lambda content: None
        self.post = Post(self._isend, self._improbe, -1, None, self, guard or threading.RLock())

    def _isend(self, memory: tuple[bytes, Any], rank: int, tag: int) -> Carrier:
        self.sent.append((rank, tag, memory[0]))
        self.on_send(memory[0])
        return self

    def Test(self) -> bool:
        """Say whether what was sent is gone."""
        self.stuck -= self.stuck > 0
        return not self.stuck

    def _improbe(self, source: int, tag: int, status: Any) -> Carrier | None:
        for place, each in enumerate(self.inbox):
            if each[1] == tag:
                self.found = self.inbox.pop(place)
                return self
        return None

    def Get_count(self, byte: Any) -> int:
        """Return the length of what was found."""
        return len(self.found[2])

    def Get_source(self) -> int:
        """Return who sent it."""
        return self.found[0]

    def Recv(self, memory: tuple[bytearray, Any]) -> None:
        """Receive it."""
        memory[0][:] = self.found[2]


def asked(away: Side, stripe: int, *, needs: int = 0, shared: bool = False, rank: int = 3) -> bytearray:
    """Return a wish of a worker for one stripe."""
    known = away.replica.twins.wish(stripe, stripe + 1)
    return bytearray(wish(1, 1, (rank, TAG), 40 + rank, needs, 77, known, int(shared)))


def given(away: Side, stripes: list[int], *, rank: int = 3) -> bytearray:
    """Return a message of what was written in stripes, which are given back."""
    number, content = away.node.lines.tell(0, [(away.replica.twins, np.array(stripes))], True)
    return bytearray(release(1, 1, rank, number, content, [(77, stripes)]))


def by(rank: int) -> int:
    """Return who has a stripe by the request that `asked` makes."""
    return rank << 32 | 40 + rank


def answers(side: Side) -> list[Answer]:
    return [each for each in side.world.sent if isinstance(each, Answer)]


def test_a_free_stripe_is_granted_with_its_rows_and_taken_back_with_what_was_written(
    sides: tuple[Side, Side],
) -> None:
    home, away = sides
    desk, me = home.home.desk, home.locks.me()
    home.A[2] = 5
    home.publish()
    assert desk.take(3, asked(away, 2))
    (answer,) = answers(home)
    assert (answer.ticket, answer.applied) == (43, 0)
    away.replica.twins.merge(away.node.lines, 0, answer.content[1], answer.applied)
    assert away.A[2] == 5
    assert home.locks.holder(2) == me
    away.A[2] = 6
    assert desk.take(3, given(away, [2]))
    assert (home.A[2], home.locks.holder(2), home.home.applied) == (6, 0, [0, 1])
    assert home.home.queue.held == {}


def test_a_stripe_that_is_not_free_is_left_to_the_line(sides: tuple[Side, Side]) -> None:
    home, away = sides
    desk, queue = home.home.desk, home.home.queue
    assert desk.take(3, asked(away, 1))
    assert not desk.take(4, asked(away, 1, rank=4))
    home.home.take(read(4, asked(away, 1, rank=4)))  # type: ignore[arg-type]
    assert queue.turn() == []
    assert desk.take(3, given(away, [1]))
    assert home.locks.holder(1) == 0
    assert not desk.take(5, asked(away, 1, rank=5)), "who came later goes before who waits"
    assert home.home.turn()
    assert queue.held == {(77, 1): by(4)}


def abandon(side: Side, stripe: int) -> None:
    """Let somebody have died in a stripe."""
    header, _ = locksegment.attach(side.namespace, "A")
    words = segment.attach(names.lock_name(side.namespace.name, "A"), np.dtype(np.uint64))
    words[header.words + stripe * LINE] = Participant(slot=0, pid=1, rank=0).abandoned()


def test_who_asks_for_an_abandoned_stripe_is_told_so(sides: tuple[Side, Side]) -> None:
    home, away = sides
    abandon(home, 1)
    assert not home.home.desk.take(3, asked(away, 1))
    home.home.take(read(3, asked(away, 1)))  # type: ignore[arg-type]
    (answer,) = answers(home)
    assert isinstance(answer.content, OwnerDiedError)


def test_sharers_are_counted(sides: tuple[Side, Side]) -> None:
    home, away = sides
    desk, queue = home.home.desk, home.home.queue
    assert desk.take(3, asked(away, 1, shared=True))
    assert not desk.take(4, asked(away, 1, shared=True, rank=4))
    home.home.take(read(4, asked(away, 1, shared=True, rank=4)))  # type: ignore[arg-type]
    assert queue.held == {(77, 1): {3: 1, 4: 1}}
    assert desk.take(3, given(away, [1]))
    assert queue.held == {(77, 1): {4: 1}}
    assert home.locks.sharers(1) != 0
    assert desk.take(4, given(away, [1], rank=4))
    assert (queue.held, home.locks.sharers(1)) == ({}, 0)


def test_what_comes_too_early_is_left_until_it_is_due(sides: tuple[Side, Side]) -> None:
    home, away = sides
    desk = home.home.desk
    messages = []
    for value in (1, 2):
        away.A[0] = value
        messages.append(given(away, [0]))
    assert not desk.take(3, messages[1])
    assert not desk.take(3, asked(away, 0, needs=2))
    home.home.take(read(3, messages[1]))  # type: ignore[arg-type]
    home.home.take(read(3, asked(away, 0, needs=2)))  # type: ignore[arg-type]
    assert answers(home) == []
    assert desk.take(3, messages[0])
    assert (home.A[0], home.home.applied) == (2, [0, 2])
    assert answers(home)[0].applied == 2


@pytest.mark.parametrize("lost", [1, 8, 20])
def test_a_message_that_ends_too_early_is_refused(sides: tuple[Side, Side], lost: int) -> None:
    home, away = sides
    away.A[3] = 4
    with pytest.raises(ValueError, match="message"):
        home.home.desk.take(3, given(away, [3])[:-lost])
    assert home.home.applied == [0, 0]


def test_messages_for_somebody_else_come_back_from_serving(sides: tuple[Side, Side]) -> None:
    home, away = sides
    carrier = Carrier()
    desks = {1: home.home.desk}
    other = bytes(release(2, 1, 3, 1, b""))  # another team's
    carrier.inbox = [
        (3, 1, bytes(asked(away, 4))),
        (3, 1, b"\x80pickled"),
        (3, 1, other),
        (3, 1, bytes(asked(away, 5))),
    ]
    assert carrier.post.serve(1, 0.0, 1e18, desks) == (1, (3, bytearray(b"\x80pickled")))
    assert carrier.post.serve(1, 0.0, 1e18, desks) == (0, (3, bytearray(other)))
    assert carrier.post.serve(1, 0.0, 0.0, desks) == (1, None)
    assert carrier.post.serve(1, 0.0, 1e18, desks) == (0, None)
    assert sorted(home.home.queue.held) == [(77, 4), (77, 5)]


def test_what_is_still_under_way_is_pushed_on(sides: tuple[Side, Side]) -> None:
    carrier = Carrier()
    carrier.stuck = 2
    carrier.post.send(1, 1, "large", b"x")
    assert len(carrier.post.pending) == 1
    assert carrier.post.flush() is True
    carrier.stuck = 3
    carrier.post.send(1, 1, "large", b"x")
    assert carrier.post.take(1, 10.0) is None, "who has something under way does not stay to look for messages"
    assert len(carrier.post.pending) == 1
    carrier.post.flush()
    assert (carrier.post.messages, carrier.post.sizes) == ({"large": 2}, {"large": 2})
    assert carrier.post.take_rounds() == 0
    carrier.post.send(1, 1, "large", b"x")
    carrier.inbox.append((1, 1, b"y"))
    carrier.post.take(1)
    assert (carrier.post.take_rounds(), carrier.post.take_rounds()) == (1, 0)


class Away:
    """A worker of node 1, and what its caller was told to do."""

    def __init__(self, side: Side, guard: Any = None) -> None:
        self.carrier, self.did = Carrier(guard), []  # type: ignore[var-annotated]
        self.side = side
        self.late = Answer("answer", 0, 0, False, (True, b""))
        self.interrupts = ""
        note = self.note
        self.caller = Caller(
            self.carrier.post,
            side.node.lines,
            [0, 2],
            1,
            TAG,
            1,
            1,
            3,
            0.0,
            take=note("take"),
            answer=note("answer"),
            wait=note("wait"),
            withdraw=note("withdraw"),
            pull=note("pull"),
            settle=note("settle"),
        )

    def note(self, name: str) -> Callable[..., Any]:
        """Return what notes that it is called, and raises or returns what it is told to."""

        def call(*what: Any) -> Any:
            self.did.append((name, *what))
            if name == self.interrupts:
                raise InterruptedError(name)
            return self.late if name in ("answer", "wait") else None

        return call

    def sent(self) -> Request:
        rank, tag, content = self.carrier.sent.pop()
        assert (rank, tag) == (0, 1)
        message = read(3, bytearray(content))
        assert isinstance(message, Request)
        return message

    def region(self, engine: Any = None) -> HomedRegion:
        """Return a region of stripe 1, on a native one that is always free."""
        return HomedRegion(FakeRegion(), engine, self.caller, self.side.replica.twins, 0, 1, 2, False)  # type: ignore[arg-type]


class FakeRegion:
    """A native region that can be entered when nobody minds."""

    shared = entered = False
    timeout: float | None = None
    fails = False

    def __enter__(self) -> str:
        if self.fails:
            raise RuntimeError("not now")
        self.entered = True
        return "view"

    def __exit__(self, *error: object) -> None:
        self.entered = False


@pytest.fixture
def away(sides: tuple[Side, Side]) -> Away:
    return Away(sides[1])


def granted(ticket: int, applied: int = 0, block: bytes = b"") -> tuple[int, int, bytes]:
    return 0, TAG, grant(ticket, applied, block)


def ticket_to_come() -> int:
    """Return the ticket that the next request will have."""
    return next_ticket() + 1


alone = pytest.mark.timeout(method="signal")
"""The other method has a thread, and a caller asks only where there is none."""


@alone
def test_a_region_asks_once_however_deep_it_is_entered(away: Away) -> None:
    away.carrier.inbox = [granted(ticket_to_come())]
    outer, inner = away.region(), away.region()
    with outer as view, inner:
        assert view == "view"
        wanted = away.sent()
        assert (wanted.kind, wanted.body[0], wanted.body[2:], wanted.needs) == ("acquire", 77, (False, False), {})
        away.side.A[1] = 7
        assert list(away.caller.depths.values()) == [2]
    last, first = away.sent(), away.sent()
    assert first.kind == last.kind == "release"
    assert (first.body[2], last.body[2]) == ([], [(77, [1])])
    assert (first.number, last.number) == (1, 2)
    assert away.caller.depths == {}
    assert away.did == []
    away.carrier.inbox = [granted(ticket_to_come(), 2)]
    with away.region():
        assert away.sent().needs == {1: 2}, "not behind what this node has told"
        assert away.side.node.lines.heard(0) == 2


@alone
def test_what_comes_before_the_grant_is_taken_and_a_late_grant_is_waited_for(away: Away) -> None:
    ticket = ticket_to_come()
    away.carrier.inbox = [(0, TAG, b"\x80other"), granted(ticket - 1), granted(ticket)]
    with away.region():
        assert [name for name, *_ in away.did] == ["take", "take"]
    away.did.clear()
    ticket = ticket_to_come()
    with away.region():
        assert away.did == [("wait", 0, ticket)]


@alone
def test_a_grant_from_before_what_was_told_is_asked_for_again(away: Away, sides: tuple[Side, Side]) -> None:
    home = sides[0]
    home.A[1] = 5
    home.publish()
    (block,) = [block for _, block in home.node.collect([(77, away.side.replica.twins.wish(1, 2))])]
    away.side.A[1] = 6
    away.side.publish()
    away.carrier.inbox = [granted(ticket_to_come(), 0, block)]
    with away.region():
        assert away.did == [("pull", [0])]
        assert away.side.A[1] == 6


@alone
def test_a_region_that_cannot_be_entered_gives_its_stripe_back(away: Away) -> None:
    region = away.region()
    region.region.fails = True  # type: ignore[attr-defined]
    away.carrier.inbox = [granted(ticket_to_come())]
    with pytest.raises(RuntimeError, match="not now"):
        region.__enter__()
    assert away.sent().body[2] == [(77, [1])]
    assert away.caller.depths == {}


def test_with_other_threads_or_a_timeout_the_engine_asks(away: Away) -> None:
    class FakeEngine:
        asked: ClassVar[list[Any]] = []

        def enter(self, home: int, region: Any, stripes: range) -> None:
            self.asked.append((home, stripes))
            away.caller.depths[threading.get_ident(), 77, 1] = 1

    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with away.region(FakeEngine()):
            assert FakeEngine.asked == [(0, range(1, 2))]
    finally:
        done.set()
        other.join()
    region = away.region(FakeEngine())
    region.region.timeout = 1.0
    with region:
        assert len(FakeEngine.asked) == 2
    with contextlib.suppress(IndexError):
        while True:
            assert away.sent().kind == "release"


@alone
@pytest.mark.parametrize("late", [False, True])
def test_elements_are_fetched_and_stored(away: Away, sides: tuple[Side, Side], *, late: bool) -> None:
    """Each message goes to the home's desk at once, and its answer back, or to who waits for it."""
    home, memory = sides[0], np.zeros(16, np.uint8)
    carried, twins = [], away.side.replica.twins

    def carry(content: bytes) -> None:
        sent = len(home.world.packed_sent)
        assert home.home.desk.take(3, bytearray(content))
        (answer,) = home.world.packed_sent[sent:]
        carried.append(read(3, bytearray(content)))
        if late:
            away.late = read(0, bytearray(answer))  # type: ignore[assignment]
        else:
            away.carrier.inbox.append((0, TAG, answer))

    away.carrier.on_send = carry
    home.A[2:4] = [5, 6]
    assert away.caller.fetch(0, twins, 2, memory) == 0
    assert memory.view(np.int64).tolist() == [5, 6]
    assert away.caller.store(0, twins, 1, np.array([8, 9]).view(np.uint8))
    assert (home.A[:4].tolist(), away.side.A[:4].tolist()) == ([0, 8, 9, 6], [0, 8, 9, 0])
    assert (home.home.applied, away.side.node.lines.heard(0)) == ([0, 1], 1)
    assert away.side.replica.twins.changed(0, 8) == []
    assert [each.kind for each in carried] == ["fetch", "store"]
    assert len(away.did) == (2 if late else 0)
    for first, count in ((7, 16), (1 << 61, 8), (0, 1 << 10)):
        with pytest.raises(IndexError, match="not in array 77"):
            away.caller.fetch(0, twins, first, np.zeros(count, np.uint8))
    with pytest.raises(ValueError, match="no diff of array"):
        away.caller.store(0, twins, 8, np.zeros(8, np.uint8))


def test_elements_that_are_not_due_are_left_until_they_are(sides: tuple[Side, Side]) -> None:
    home, away = sides
    stores = []
    for value in (1, 2):
        number = away.replica.twins.put(away.node.lines, 0, diff := _diff(0, [value]))
        stores.append(bytearray(_HEAD.pack(MESSAGE_KINDS["store"], TAG << 2, 1, 1, 50 + value, number, 77) + diff))
    assert not home.home.desk.take(3, stores[1])
    home.home.take(read(3, stores[1]))  # type: ignore[arg-type]
    assert home.home.desk.take(3, stores[0])
    assert (home.A[0], home.home.applied) == (2, [0, 2])
    assert [answer.ticket for answer in answers(home)] == [51, 52]


def _diff(first: int, values: list[int]) -> bytes:
    return np.array([first, len(values), *values]).tobytes()


@alone
@pytest.mark.parametrize("interrupts", ["wait", "take", "pull"])
def test_who_is_interrupted_before_he_has_a_stripe_gives_it_up_or_back(
    away: Away, sides: tuple[Side, Side], interrupts: str
) -> None:
    home, twins, ticket = sides[0], away.side.replica.twins, ticket_to_come()
    away.interrupts = interrupts
    if interrupts == "take":
        away.carrier.inbox = [(0, TAG, b"\x80other")]
    if interrupts == "pull":
        home.A[1] = 5
        home.publish()
        (block,) = [block for _, block in home.node.collect([(77, twins.wish(1, 2))])]
        away.side.A[1] = 6
        away.side.publish()
        away.carrier.inbox = [granted(ticket, 0, block)]
    with pytest.raises(InterruptedError, match=interrupts):
        away.region().__enter__()
    assert away.did[-1] == ("withdraw", 0, ticket, 77, [1], False)
    assert away.caller.depths == {}


@alone
def test_who_is_refused_a_stripe_withdraws_nothing(away: Away) -> None:
    away.late = Answer("answer", 0, 0, True, LookupError("refused"))
    with pytest.raises(LookupError, match="refused"):
        away.region().__enter__()
    assert [name for name, *_ in away.did] == ["wait"]
    assert away.caller.depths == {}


@alone
def test_a_handler_that_wants_the_stripe_its_thread_waits_for_is_refused(away: Away) -> None:
    def enter(*what: Any) -> None:
        away.region().__enter__()

    away.caller.__init__(  # type: ignore[misc]
        away.carrier.post,
        away.side.node.lines,
        [0, 2],
        1,
        TAG,
        1,
        1,
        3,
        0.0,
        take=enter,
        answer=enter,
        wait=enter,
        withdraw=away.note("withdraw"),
        pull=enter,
        settle=enter,
    )
    with pytest.raises(RuntimeError, match="this very thread is waiting for it"):
        away.region().__enter__()
    assert away.caller.depths == {}


class Guard:
    """A lock at which a signal's handler raises, if asked to."""

    raises = held = 0

    def acquire(self) -> None:
        if self.raises:
            self.raises -= 1
            raise InterruptedError("at the guard")
        self.held += 1

    def release(self) -> None:
        self.held -= 1

    def __enter__(self) -> None:
        self.held += 1

    def __exit__(self, *error: object) -> None:
        self.held -= 1


@alone
def test_who_is_interrupted_while_he_leaves_has_given_the_stripe_back(sides: tuple[Side, Side]) -> None:
    guard = Guard()
    away = Away(sides[1], guard)
    away.carrier.inbox = [granted(ticket_to_come())]
    region = away.region()
    region.__enter__()
    guard.raises = 2
    with pytest.raises(InterruptedError, match="at the guard"):
        region.__exit__(None, None, None)
    assert away.sent().body[2] == [(77, [1])]
    assert away.caller.depths == {}
    assert guard.held == 0


@alone
def test_a_large_message_is_pushed_out_before_a_region_is_left(away: Away) -> None:
    away.carrier.inbox = [granted(ticket_to_come())]
    with away.region():
        away.carrier.stuck = 5
    assert away.did == [("settle",)]


@alone
def test_a_region_that_another_thread_leaves_is_not_given_back(away: Away) -> None:
    away.carrier.inbox = [granted(ticket_to_come())]
    region = away.region()
    region.__enter__()
    away.carrier.sent.clear()
    other = threading.Thread(target=region.__exit__, args=(None, None, None))
    other.start()
    other.join()
    assert away.carrier.sent == []
    assert list(away.caller.depths.values()) == [1]


@alone
def test_a_child_forked_inside_gives_nothing_back(away: Away) -> None:
    away.carrier.inbox = [granted(ticket_to_come())]
    region = away.region()
    region.__enter__()
    away.carrier.sent.clear()
    child = os.fork()
    if child == 0:
        region.__exit__(None, None, None)
        os._exit(len(away.carrier.sent))
    assert os.waitpid(child, 0)[1] == 0
    region.__exit__(None, None, None)
    assert len(away.carrier.sent) == 1


def test_only_who_has_a_stripe_gives_it_back(sides: tuple[Side, Side]) -> None:
    home, away = sides
    desk, queue = home.home.desk, home.home.queue
    assert desk.take(3, asked(away, 2))
    assert desk.take(4, given(away, [2], rank=4))
    assert queue.held == {(77, 2): by(3)}
    queue.give(4, 77, [2])
    assert queue.held == {(77, 2): by(3)}


def test_a_stripe_that_was_granted_and_is_withdrawn_is_free(sides: tuple[Side, Side]) -> None:
    home, away = sides
    desk, queue = home.home.desk, home.home.queue

    assert desk.take(3, asked(away, 1))
    assert desk.take(3, asked(away, 2, shared=True))
    cancel(home, 43, None)  # time was over, and the grant came still
    cancel(home, 42, (77, [1], False))  # another request of the same rank
    assert len(queue.held) == 2
    cancel(home, 43, (77, [1], False))
    cancel(home, 43, (77, [2], True))
    assert queue.held == {}
    assert (home.locks.holder(1), home.locks.sharers(2)) == (0, 0)
    assert desk.take(3, asked(away, 1))
    home.home.take(read(4, asked(away, 1, rank=4)))  # type: ignore[arg-type]
    home.home.take(Request("cancel", 1, 1, 0, {}, (4, TAG), 0, (44, (77, [1], False))))
    assert queue.held == {(77, 1): by(3)}
    assert len(queue) == 0


def test_who_waits_for_a_stripe_that_is_abandoned_is_told_so(sides: tuple[Side, Side]) -> None:
    home, away = sides
    assert home.home.desk.take(3, asked(away, 1))
    for rank in (4, 5):
        home.home.take(read(rank, asked(away, 1, rank=rank)))  # type: ignore[arg-type]
    assert len(home.home.queue) == 2
    home.home.queue.held.clear()
    abandon(home, 1)
    home.home.turn()
    assert [type(answer.content) for answer in answers(home)[1:]] == [OwnerDiedError] * 2
    assert (len(home.home.queue), home.home.queue.lines) == (0, {})


def test_a_wish_for_what_is_not_there_is_refused(sides: tuple[Side, Side]) -> None:
    home, away = sides
    wrong = asked(away, 2)
    wrong[28:36] = (99).to_bytes(8, sys.byteorder)
    assert not home.home.desk.take(3, wrong)
    home.home.take(read(3, wrong))  # type: ignore[arg-type]
    assert isinstance(answers(home)[0].content, IndexError)
    assert (home.home.queue.held, home.home.queue.lines) == ({}, {})


def cancel(home: Side, ticket: int, granted: tuple[int, list[int], bool] | None) -> None:
    """Let rank 3 give up a request."""
    home.home.take(Request("cancel", 1, 1, 0, {}, (3, TAG), 0, (ticket, granted)))


def test_what_has_a_number_is_not_given_up(sides: tuple[Side, Side]) -> None:
    home, away = sides
    away.A[1] = 9
    first = given(away, [1], rank=4)
    number = away.replica.twins.put(away.node.lines, 0, diff := _diff(2, [77]))
    store = bytearray(_HEAD.pack(MESSAGE_KINDS["store"], TAG << 2, 1, 1, 60, number, 77) + diff)
    assert not home.home.desk.take(3, store)
    home.home.take(read(3, store))  # type: ignore[arg-type]
    cancel(home, 60, None)
    assert home.home.desk.take(4, first)
    assert (home.A[2], home.home.applied) == (77, [0, 2])


def test_a_request_that_was_refused_takes_nothing_back_from_a_sibling_that_shares(sides: tuple[Side, Side]) -> None:
    home, away = sides
    queue = home.home.queue
    assert home.home.desk.take(3, asked(away, 2, shared=True))
    assert home.home.desk.take(4, asked(away, 3, rank=4))
    known = away.replica.twins.wish(2, 4)
    home.home.take(read(3, bytearray(wish(1, 1, (3, TAG), 50, 0, 77, known, 1))))  # type: ignore[arg-type]
    cancel(home, 50, None)  # its time is over ...
    cancel(home, 50, (77, [2, 3], True))  # ... and whoever waits for the answer is interrupted
    assert queue.held[77, 2] == {3: 1}
    cancel(home, 43, (77, [2], True))
    cancel(home, 43, (77, [2], True))
    assert (77, 2) not in queue.held


def test_what_is_kept_of_requests_that_were_granted_does_not_grow(sides: tuple[Side, Side]) -> None:
    """One rank shares a stripe all the time, and another joins it again and again."""
    home, away = sides
    queue = home.home.queue
    assert home.home.desk.take(3, asked(away, 2, shared=True))
    for ticket in range(_KEPT + 10):
        known = away.replica.twins.wish(2, 3)
        home.home.take(read(4, bytearray(wish(1, 1, (4, TAG), ticket, 0, 77, known, 1))))  # type: ignore[arg-type]
        queue.give(4, 77, [2])
    assert queue.held == {(77, 2): {3: 1}}
    assert len(queue._granted) <= _KEPT
