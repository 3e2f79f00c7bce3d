"""The lock table beside a model of it: threads and processes do random things, and processes die.

With a time-out of 0 every enter is decided at once, so each answer has to be the model's, and
after each step the lock words and the elements have to be what the model says.
"""

from __future__ import annotations

import itertools
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

import pydsm
from pydsm import native
from pydsm.ipc.child import start_child
from pydsm.sync.lock import attach_lock

LONG = os.environ.get("PYDSM_TORTURE") == "1"

SIZE = 3
COLUMNS = 2
SHAPES = {"A": (6, 6), "B": (7, 3)}
"""Rows and stripes of each array: as many, and fewer."""
LOCK = "lock"
VIEWS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "A": ("A", lambda array: array[:]),
    "B": ("B", lambda array: array[:]),
    "A[::-2]": ("A", lambda array: array[::-2]),
    "B.T": ("B", lambda array: array.T),
}


# -- the model ---------------------------------------------------------------------------

Stripe = tuple[str, int]
"""Of which array or lock, and which one."""
Parts = tuple[tuple[str, Any], ...]
"""What a region is over: views, and keys of their rows."""


@dataclass(frozen=True)
class Refusal:
    """Why something was not had."""

    kind: str
    name: str
    rows: str
    who: tuple[str, ...] = ()


@dataclass(frozen=True)
class Region:
    """What is entered and left; the number names it to whoever entered it."""

    number: int
    who: int
    parts: Parts
    shared: bool = False
    undo: bool = False
    recover: bool = False
    seat: Any = field(default=None, repr=False)

    def options(self) -> dict[str, bool]:
        return {name: True for name in ("shared", "undo", "recover") if getattr(self, name)}


@dataclass
class Hold:
    """One participant's hold on one stripe."""

    exclusive: bool
    depth: int = 1
    taken_over: str | None = None


@dataclass
class Record:
    """What the elements of a region were when it was entered."""

    region: Region
    copies: list[np.ndarray]


class Model:
    """A table of re-entrant reader-writer locks, as one who knows nothing of words would write it."""

    def __init__(self, names: list[str]) -> None:
        self.names = names  # of the participants, by rank
        self.held: dict[Stripe, dict[int, Hold]] = {}
        self.abandoned: dict[Stripe, str] = {}
        self.is_dead: Callable[[int], bool] = lambda who: False
        self.claims: dict[Stripe, int] = {}  # who died waiting for the sharers of a stripe to leave
        self.records: list[Record] = []
        self.contents = {name: np.zeros((rows, COLUMNS), int) for name, (rows, _) in SHAPES.items()}
        self.acquisitions = dict.fromkeys([*SHAPES, LOCK], 0)
        self.contended = dict.fromkeys([*SHAPES, LOCK], 0)

    # -- which stripes -----------------------------------------------------------------

    def block(self, name: str) -> int:
        """Return how many rows share a stripe."""
        rows, stripes = SHAPES[name]
        return -(-rows // stripes)

    def stripes(self, parts: Parts) -> list[tuple[str, list[Stripe]]]:
        """Return the stripes of each array that is named, in the order of locking."""
        found: dict[str, set[int]] = {}
        for view, key in parts:
            name, see = VIEWS[view]
            row_of = np.repeat(np.arange(SHAPES[name][0])[:, None], COLUMNS, axis=1)
            rows = np.unique(see(row_of)[... if key is None else key])
            found.setdefault(name, set()).update((rows // self.block(name)).tolist())
        return [(name, [(name, stripe) for stripe in sorted(found[name])]) for name in SHAPES if name in found]

    def rows(self, stripe: Stripe) -> str:
        name, number = stripe
        if name == LOCK:
            return "the lock"
        start, stop = number * self.block(name), min((number + 1) * self.block(name), SHAPES[name][0])
        return f"row {start}" if stop == start + 1 else f"rows {start} to {stop - 1}"

    # -- regions -----------------------------------------------------------------------

    def enter(self, region: Region) -> Refusal | list[str]:
        """Take all the stripes, or none; return whom they were taken over from, now or further out."""
        taken: list[Stripe] = []
        for name, stripes in self.stripes(region.parts):
            refusal = self.take_all(region, name, stripes, taken)
            if refusal is not None:
                self.give_back(region.who, taken, failed=True, refused=True)
                return refusal
        if region.undo:
            self.records.append(Record(region, [self.elements(part).copy() for part in region.parts]))
        found = {self.held[stripe][region.who].taken_over or "" for stripe in taken} - {""}
        return sorted(found) if region.recover else []

    def take_all(self, region: Region, name: str, stripes: list[Stripe], taken: list[Stripe]) -> Refusal | None:
        for stripe in stripes:
            refusal = self.refusal(region, stripe)
            if refusal is not None and refusal.kind == "timeout":
                self.contended[name] += 1
                for who in filter(self.is_dead, self.in_the_way(region, stripe)):
                    self.bury(who)
                refusal = self.refusal(region, stripe)
            if refusal is not None:
                return refusal
            self.take(region, stripe)
            taken.append(stripe)
        self.acquisitions[name] += 1
        return None

    def refusal(self, region: Region, stripe: Stripe) -> Refusal | None:
        holds = self.held.get(stripe, {})
        if stripe in self.abandoned:
            dead = self.abandoned[stripe]
            return None if region.recover else Refusal("died", stripe[0], self.rows(stripe), (dead,))
        if region.who in holds:
            upgrade = not (region.shared or holds[region.who].exclusive)
            return Refusal("upgrade", stripe[0], self.rows(stripe)) if upgrade else None
        if stripe in self.claims or (holds and not (region.shared and self.admits_sharers(holds))):
            return Refusal("timeout", stripe[0], self.rows(stripe), self.holders(stripe))
        return None

    def in_the_way(self, region: Region, stripe: Stripe) -> list[int]:
        first, _ = self.word(stripe)
        if first and first - 1 != region.who:
            return [first - 1]
        return [] if region.shared else [who for who in self.held.get(stripe, {}) if who != region.who]

    def admits_sharers(self, holds: dict[int, Hold]) -> bool:
        return not any(hold.exclusive for hold in holds.values())

    def take(self, region: Region, stripe: Stripe) -> None:
        holds = self.held.setdefault(stripe, {})
        if region.who in holds:
            holds[region.who].depth += 1
        else:
            holds[region.who] = Hold(not region.shared, taken_over=self.abandoned.pop(stripe, None))

    def leave(self, region: Region, failed: bool) -> None:
        for record in [record for record in self.records if record.region.number == region.number]:
            self.records.remove(record)
            if failed:
                self.put_back(record)
        self.give_back(region.who, [stripe for _, stripes in self.stripes(region.parts) for stripe in stripes], failed)

    def give_back(self, who: int, stripes: list[Stripe], failed: bool, refused: bool = False) -> None:
        for stripe in stripes:
            self.give(who, stripe, failed)

    def give(self, who: int, stripe: Stripe, failed: bool) -> None:
        hold = self.held[stripe][who]
        hold.depth -= 1
        if hold.depth == 0:
            del self.held[stripe][who]
            if failed and hold.taken_over is not None:
                self.abandoned[stripe] = hold.taken_over

    # -- elements ------------------------------------------------------------------------

    def elements(self, part: tuple[str, Any]) -> np.ndarray:
        view, key = part
        name, see = VIEWS[view]
        return see(self.contents[name])[... if key is None else key]

    def write(self, region: Region, value: int) -> None:
        for part in region.parts:
            self.put(part, value)

    def put(self, part: tuple[str, Any], value: Any) -> None:
        view, key = part
        name, see = VIEWS[view]
        see(self.contents[name])[... if key is None else key] = value

    def put_back(self, record: Record) -> None:
        for part, copy in zip(record.region.parts, record.copies, strict=True):
            self.put(part, copy)

    # -- the named lock --------------------------------------------------------------------

    def acquire(self, who: int, recover: bool = False) -> Refusal | None:
        return self.take_all(Region(-1, who, (), recover=recover), LOCK, [(LOCK, 0)], [])

    def release(self, who: int, failed: bool) -> Refusal | None:
        if who not in self.held.get((LOCK, 0), {}):
            return Refusal("not mine", LOCK, "", self.holders((LOCK, 0)))
        self.give(who, (LOCK, 0), failed)
        return None

    # -- death -----------------------------------------------------------------------------

    def bury(self, who: int) -> None:
        """Put back what the dead was updating, latest first, and abandon what it held."""
        for record in self.latest_first([record for record in self.records if record.region.who == who]):
            self.records.remove(record)
            self.put_back(record)
        for stripe in [stripe for stripe, holds in self.held.items() if who in holds]:
            self.abandon(who, stripe)
        self.claims = {stripe: other for stripe, other in self.claims.items() if other != who}

    def die_waiting(self, who: int, stripe: Stripe, shared: bool) -> None:
        """Keep sharers from coming, though never having been in there."""
        if not shared and self.admits_sharers(self.held[stripe]):
            self.claims[stripe] = who

    def latest_first(self, records: list[Record]) -> list[Record]:
        return records[::-1]

    def abandon(self, who: int, stripe: Stripe) -> None:
        if self.held[stripe].pop(who).exclusive:
            self.abandoned[stripe] = self.names[who]

    # -- what can be asked ---------------------------------------------------------------------

    def holds(self, who: int, parts: Parts, shared: bool) -> bool:
        mine = [self.held.get(stripe, {}).get(who) for _, stripes in self.stripes(parts) for stripe in stripes]
        return all(hold is not None and (shared or hold.exclusive) for hold in mine)

    def holders(self, stripe: Stripe) -> tuple[str, ...]:
        claims = {self.claims[stripe]} if stripe in self.claims else set()
        return tuple(self.names[who] for who in sorted(claims | self.held.get(stripe, {}).keys()))

    def how_many(self, who: int) -> int:
        """Return how many stripes one holds, of all arrays and locks."""
        return sum(who in holds for holds in self.held.values())

    def words(self, name: str) -> list[tuple[Any, int]]:
        """Return what word 0 says (who died there, if somebody did) and the shared bits, of each stripe."""
        return [self.word((name, stripe)) for stripe in range(SHAPES[name][1] if name in SHAPES else 1)]

    def word(self, stripe: Stripe) -> tuple[Any, int]:
        holds = self.held.get(stripe, {})
        exclusive = sum(who + 1 for who, hold in holds.items() if hold.exclusive)
        exclusive += self.claims[stripe] + 1 if stripe in self.claims else 0
        sharing = sum(1 << who for who, hold in holds.items() if not hold.exclusive)
        return self.abandoned.get(stripe, exclusive), sharing


# -- who takes part -------------------------------------------------------------------------


class Actor:
    """Does what it is told, and answers with what came of it."""

    def __init__(self, resources: dict[str, Any], rank: int, regions: dict[int, Any]) -> None:
        resources[LOCK].words.policy.namespace.sit(rank)
        self.arrays = {view: see(resources[name]) for view, (name, see) in VIEWS.items()}
        self.lock = resources[LOCK]
        self.regions = regions
        self.inside: set[int] = set()

    def do(self, command: str, *args: Any) -> tuple[Any, int]:
        """Return the answer, or why there is none, and how many stripes this thread holds then."""
        try:
            answer = getattr(self, command)(*args)
        except (RuntimeError, pydsm.LockTimeoutError) as error:
            answer = refusal_of(error)
        for name in SHAPES:
            self.arrays[name].statistics()  # so that this process's counts are in the totals
        self.lock.words.policy.settle(self.lock.words)
        return answer, native.held()

    def enter(self, number: int, parts: Parts, options: dict[str, bool], timeout: float | None = 0) -> list[str]:
        [(view, key)] = parts
        return self._enter(number, self.arrays[view].locked(key, timeout=timeout, **options))

    def enter_together(self, number: int, parts: Parts, options: dict[str, bool]) -> list[str]:
        pairs = [(self.arrays[view], key) for view, key in parts]
        return self._enter(number, pydsm.locked(*pairs, timeout=0, **options))

    def enter_again(self, number: int) -> list[str]:
        return self._enter(number, self.regions[number])

    def _enter(self, number: int, region: Any) -> list[str]:
        region.__enter__()
        self.regions[number] = region
        self.inside.add(number)
        return sorted(set(region.recovered))

    def leave(self, number: int, failed: bool = False) -> None:
        self.regions[number].__exit__(*how(failed))
        self.inside.discard(number)

    def forget(self, number: int) -> None:
        del self.regions[number]

    def write(self, parts: Parts, value: int) -> None:
        for view, key in parts:
            self.arrays[view][... if key is None else key] = value

    def holds(self, parts: Parts, shared: bool) -> bool:
        [(view, key)] = parts
        return self.arrays[view].holds(key, shared=shared)

    def acquire(self, options: dict[str, bool]) -> bool:
        return self.lock.acquire(block=False, **options)

    def release(self, failed: bool) -> None:
        if failed:
            self.lock.__exit__(*how(failed))
        else:
            self.lock.release()

    def leave_all(self) -> None:
        for number in sorted(self.inside, reverse=True):
            self.leave(number)
        while self.lock.held():
            self.lock.release()


def how(failed: bool) -> tuple[Any, Any, None]:
    """Return what a ``with`` block tells at its end."""
    return (KeyError, KeyError("of the body"), None) if failed else (None, None, None)


SENTENCES = {
    "upgrade": r"of array '(?P<name>\w+)' cannot be entered: this worker holds (?P<rows>.+) of it shared already",
    "not mine": r"^lock '(?P<name>\w+)' cannot be released here: it is held by (?P<who>.+)$",
    "entered": r"(is|are) entered already: call locked\(\) for each with$",
    "another thread": r"entered by another thread, which still holds (it|them)$",
}


def refusal_of(error: Exception) -> Refusal:
    """Return what an error says, as facts and as text."""
    if isinstance(error, pydsm.LockTimeoutError):
        assert str(error).endswith(f"{error.rows} held by {', '.join(error.holders)}")
        return Refusal("timeout", error.name, error.rows, tuple(error.holders))
    if isinstance(error, pydsm.OwnerDiedError):
        assert str(error.holder) in str(error)
        assert error.holder == f"rank {error.rank} (pid {error.pid})"
        return Refusal("died", error.name, error.rows, (error.holder,))
    for kind, sentence in SENTENCES.items():
        found = re.search(sentence, str(error))
        if found and type(error) is RuntimeError:
            name, rows, who = (found.groupdict().get(fact) or "" for fact in ("name", "rows", "who"))
            return Refusal(kind, name, rows, tuple(who.split(", ")) if who not in ("", "nobody") else ())
    raise error


class ThreadSeat:
    """A participant that is a thread of this process."""

    def __init__(self, team: pydsm.Team, rank: int, regions: dict[int, Any]) -> None:
        self.name = f"rank {rank} (pid {os.getpid()})"
        self.is_dead = False
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(team.resources, rank, regions))
        self._thread.start()

    def _serve(self, *args: Any) -> None:
        actor = Actor(*args)
        for order in iter(self._orders.get, None):
            try:
                self._answers.put(actor.do(*order))
            except BaseException as error:
                self._answers.put(error)

    def ask(self, *order: Any) -> tuple[Any, int]:
        self._orders.put(order)
        return _answer(self._answers.get(timeout=30))

    def end(self) -> None:
        self._orders.put(None)
        self._thread.join()


class Child:
    """A forked process that plays one participant after the other."""

    idle: ClassVar[list[Child]] = []

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        self._child, self._reader = start_child("fork", "", self._serve, theirs)
        theirs.close()
        self.pid = self._child.pid

    @staticmethod
    def _serve(_: int, orders: Connection) -> None:
        actor: Any = None
        while True:
            command, *args = orders.recv()
            try:
                if command == "play":
                    namespace, rank = args
                    resources = {name: pydsm.attach(f"{namespace}/{name}") for name in SHAPES}
                    actor = Actor({**resources, LOCK: attach_lock(namespace, LOCK)}, rank, {})
                    orders.send((None, native.held()))
                else:
                    orders.send(actor.do(command, *args))
            except Exception as error:
                orders.send(error)

    def ask(self, *order: Any) -> tuple[Any, int]:
        self._connection.send(order)
        assert self._connection.poll(30), order
        return _answer(self._connection.recv())

    def tell(self, *order: Any) -> None:
        """Give an order whose answer nobody will hear."""
        self._connection.send(order)

    def kill(self) -> None:
        """End it; the kernel has closed all that it had when this returns."""
        self._child.send(signal.SIGKILL)
        self._child.reap()
        self._connection.close()
        os.close(self._reader)


class ProcessSeat:
    """A participant that is a process of its own."""

    def __init__(self, team: pydsm.Team, rank: int, regions: dict[int, Any]) -> None:
        self._child = Child.idle.pop() if Child.idle else Child()
        self.name = f"rank {rank} (pid {self._child.pid})"
        self.is_dead = False
        self.ask("play", team.namespace, rank)

    def ask(self, *order: Any) -> tuple[Any, int]:
        return self._child.ask(*order)

    def tell(self, *order: Any) -> None:
        self._child.tell(*order)

    def die(self) -> None:
        self.is_dead = True
        self._child.kill()

    def end(self) -> None:
        if self.is_dead:
            return
        try:
            assert self.ask("leave_all") == (None, 0)
            Child.idle.append(self._child)
        except Exception:  # a test has failed: what came of that shall not be seen by the next
            self._child.kill()


def _answer(answer: Any) -> tuple[Any, int]:
    if isinstance(answer, BaseException):
        raise answer
    return answer


# -- what they do ---------------------------------------------------------------------------


def keys(rows: int) -> st.SearchStrategy[Any]:
    """Return keys of rows, of every kind."""
    row = st.integers(-rows, rows - 1)
    bound = st.none() | row
    return st.one_of(
        row,
        row.map(np.int64),
        st.builds(slice, bound, bound, st.sampled_from([None, None, 2, -1])),
        st.lists(row, max_size=2),
        st.lists(row, min_size=2, max_size=3).map(np.array),
        st.lists(st.booleans(), min_size=rows, max_size=rows).map(np.array),
        st.just(...),
        st.none(),
    )


def _rows_of(name: str, see: Callable[[Any], Any]) -> int:
    return len(see(np.empty((SHAPES[name][0], COLUMNS))))


ranks = st.integers(0, SIZE - 1)
parts = st.one_of(*(st.tuples(st.just(view), keys(_rows_of(*what))) for view, what in VIEWS.items()))
several = st.lists(parts, max_size=3)
values = st.integers(0, 9)


class LockTable(RuleBasedStateMachine):
    """What all participants do, and what has to hold after each step."""

    entered = Bundle("entered")
    left = Bundle("left")
    model_class: type[Model] = Model
    seat: Callable[..., Any]
    counted: tuple[int, int] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.died_waiting: set[int] = set()
        self.regions: dict[int, Any] = {}
        self.team = pydsm.Team(SIZE)
        for name, (rows, stripes) in SHAPES.items():
            self.team.array(name, (rows, COLUMNS), int, stripes=stripes)
        self.team.lock(LOCK)
        self.seats = [self.seat(self.team, rank, self.regions) for rank in range(SIZE)]
        self.model = self.model_class([seat.name for seat in self.seats])
        self.model.is_dead = lambda who: self.seats[who].is_dead

    def teardown(self) -> None:
        for seat in self.seats:
            seat.end()
        self.team.terminate()

    def living(self, who: int) -> int:
        """Return that rank, or the next one that has not died."""
        return next(rank % SIZE for rank in range(who, who + SIZE) if not self.seats[rank % SIZE].is_dead)

    def dead(self) -> list[int]:
        """Return the ranks that have died and are missing still."""
        return [rank for rank in range(SIZE) if self.seats[rank].is_dead]

    def is_gone(self, region: Region) -> bool:
        """Say whether whoever entered the region has died."""
        return region.seat is not self.seats[region.who] or region.seat.is_dead

    def ask(self, who: int, *order: Any) -> Any:
        """Return what a participant answers, and remember how many stripes it says it holds."""
        answer, held = self.seats[who].ask(*order)
        self.counted = who, held
        return answer

    def enter(self, who: int, parts: Parts, value: int | None, together: bool = False, **options: bool) -> Any:
        who = self.living(who)
        region = Region(next(self.numbers), who, parts, seat=self.seats[who], **options)
        answer = self.ask(who, "enter_together" if together else "enter", region.number, parts, region.options())
        return self.note(answer, region, value)

    def note(self, answer: Any, region: Region, value: int | None = None) -> Any:
        assert answer == self.model.enter(region)
        if isinstance(answer, Refusal):
            return multiple()
        if value is not None and not region.shared:
            self.ask(region.who, "write", region.parts, value)
            self.model.write(region, value)
        return region

    @rule(target=entered, who=ranks, part=parts, shared=st.booleans(), value=values)
    def enter_apart(self, who: int, part: tuple[str, Any], shared: bool, value: int) -> Any:
        return self.enter(who, (part,), value, shared=shared)

    @rule(target=entered, region=entered, part=parts, shared=st.booleans(), undo=st.booleans(), value=values)
    def enter_inside(self, region: Region, part: tuple[str, Any], shared: bool, undo: bool, value: int) -> Any:
        return self.enter(region.who, (part,), value, shared=shared, undo=undo and not shared)

    @rule(target=entered, who=ranks, part=parts, undo=st.booleans(), recover=st.booleans(), value=values)
    def enter_carefully(self, who: int, part: tuple[str, Any], undo: bool, recover: bool, value: int) -> Any:
        return self.enter(who, (part,), value, undo=undo, recover=recover)

    @rule(target=entered, who=ranks, several=several, undo=st.booleans(), recover=st.booleans(), value=values)
    def enter_together(self, who: int, several: list[Any], undo: bool, recover: bool, value: int) -> Any:
        return self.enter(who, tuple(several), value, together=True, undo=undo, recover=recover)

    @rule(target=entered, who=ranks, part=parts, value=values)
    def update_twice(self, who: int, part: tuple[str, Any], value: int) -> Any:
        """Update rows, and inside that once more, to undo the second update alone."""
        first = self.enter(who, (part,), value + 1, undo=True)
        return multiple(first, self.enter(who, (part,), value, undo=True)) if isinstance(first, Region) else first

    @rule(target=left, region=consumes(entered), keep=st.booleans())
    def leave(self, region: Region, keep: bool, failed: bool = False) -> Any:
        if self.is_gone(region):
            return multiple()
        assert self.ask(region.who, "leave", region.number, failed) is None
        self.model.leave(region, failed)
        if keep:
            return region
        self.ask(region.who, "forget", region.number)
        return multiple()

    @rule(target=left, region=consumes(entered), keep=st.booleans())
    def fail(self, region: Region, keep: bool) -> Any:
        return self.leave(region, keep, failed=True)

    @rule(target=entered, region=consumes(left), value=values)
    def enter_what_was_left(self, region: Region, value: int) -> Any:
        if self.is_gone(region):
            return multiple()
        return self.note(self.ask(region.who, "enter_again", region.number), region, value)

    def use_the_lock(self, who: int, release: bool, failed: bool = False, **options: bool) -> None:
        if release:
            answer, expected = self.ask(who, "release", failed), self.model.release(who, failed)
        else:
            answer, expected = self.ask(who, "acquire", options), self.model.acquire(who, **options)
            if not isinstance(answer, Refusal):
                assert answer == (expected is None)
                assert expected is None or expected.kind == "timeout"
                return
        assert answer == expected

    @invariant()
    def the_words_say_what_the_model_says(self) -> None:
        for name in [*SHAPES, LOCK]:
            resource = self.team[name]
            locks = resource.words if name == LOCK else resource.locked().locks
            table = locks.policy
            abandoned = {stripe: str(dead) for stripe, dead in table.abandoned().items()}
            words = [
                (abandoned.get(stripe, locks.holder(stripe)), locks.sharers(stripe)) for stripe in range(locks.stripes)
            ]
            assert words == self.model.words(name)
            exclusive = [stripe for stripe, (word, _) in enumerate(words) if word and stripe not in abandoned]
            shared = [stripe for stripe, (_, bits) in enumerate(words) if bits]
            assert table.held_stripes() == (exclusive, shared)
            assert set(table.waiting()) <= self.died_waiting
            seen = table.statistics(locks)
            assert (seen.name, seen.stripes) == (name, len(words))
            assert (seen.held_exclusive, seen.held_shared) == (len(exclusive), len(shared))
            assert seen.abandoned == len(abandoned)
            assert (seen.acquisitions, seen.contended) == (self.model.acquisitions[name], self.model.contended[name])

    @invariant()
    def the_elements_are_what_the_model_says(self) -> None:
        for name, expected in self.model.contents.items():
            assert self.team[name].tolist() == expected.tolist()

    @invariant()
    def who_answered_counts_the_stripes_that_it_holds(self) -> None:
        if self.counted is not None:
            who, held = self.counted
            assert held == self.model.how_many(who)


class Immortals(LockTable):
    """Rules for participants that live."""

    entered, left = LockTable.entered, LockTable.left

    @rule(who=ranks, part=parts, shared=st.booleans())
    def look(self, who: int, part: tuple[str, Any], shared: bool) -> None:
        assert self.ask(who, "holds", (part,), shared) == self.model.holds(who, (part,), shared)

    @rule(who=ranks, release=st.booleans())
    def use_a_named_lock(self, who: int, release: bool) -> None:
        self.use_the_lock(who, release)

    @rule(region=entered, who=ranks)
    def misuse(self, region: Region, who: int) -> None:
        """Enter what is entered, or leave what another thread has entered."""
        if who == region.who:
            assert self.ask(who, "enter_again", region.number).kind == "entered"
        elif region.parts and isinstance(region.seat, ThreadSeat):
            assert self.ask(who, "leave", region.number).kind == "another thread"


class Threads(Immortals):
    """Threads of one process, each in a slot of its own."""

    seat = ThreadSeat


class Processes(Immortals):
    """Processes of one thread each."""

    seat = ProcessSeat


class Mortals(LockTable):
    """Processes that take over, undo, fail and die.

    The dead hold what they held until they are buried: by who wants it, or by who takes their
    place.
    """

    seat = ProcessSeat
    entered, left = LockTable.entered, LockTable.left

    @precondition(lambda self: self.abandoned_rows())
    @rule(target=entered, who=ranks, which=st.integers(0, 9), undo=st.booleans(), value=values)
    def take_over(self, who: int, which: int, undo: bool, value: int) -> Any:
        found = self.abandoned_rows()
        return self.enter(who, (found[which % len(found)],), value, undo=undo, recover=True)

    @rule(who=ranks, release=st.booleans(), careful=st.booleans())
    def use_a_named_lock(self, who: int, release: bool, careful: bool) -> None:
        self.use_the_lock(self.living(who), release, **{"failed" if release else "recover": careful})

    @precondition(lambda self: len(self.dead()) < SIZE - 1)
    @rule(region=consumes(entered))
    def die_inside(self, region: Region) -> None:
        if not self.is_gone(region):
            self.seats[region.who].die()
            self.counted = None

    @precondition(lambda self: len(self.dead()) < SIZE - 1 and any(self.model.held.values()))
    @rule(who=ranks, shared=st.booleans(), which=st.integers(0, 9))
    def die_waiting(self, who: int, shared: bool, which: int) -> None:
        """Die in the wait for rows that somebody holds who is alive."""
        who = self.living(who)
        found = [
            stripe
            for stripe, holds in self.model.held.items()
            if stripe[0] != LOCK and holds and not self.dead_of(stripe)
        ]
        found = [stripe for stripe in found if self.would_wait(who, stripe, shared)]
        if found:
            stripe = found[which % len(found)]
            options = {"shared": True} if shared else {}
            self.seats[who].tell("enter", next(self.numbers), (self.row(stripe),), options, None)
            while who not in self.team[stripe[0]].locked().locks.policy.waiting():
                time.sleep(0.0005)
            self.seats[who].die()
            self.counted = None
            self.died_waiting.add(who)
            self.model.die_waiting(who, stripe, shared)

    def would_wait(self, who: int, stripe: Stripe, shared: bool) -> bool:
        refusal = self.model.refusal(Region(-1, who, (), shared=shared), stripe)
        return refusal is not None and refusal.kind == "timeout"

    @precondition(lambda self: self.dead())
    @rule(which=st.integers(0, 1))
    def come_in_the_place_of_the_dead(self, which: int) -> None:
        """Take the slot of one, which is buried at that."""
        rank = self.dead()[which % len(self.dead())]
        self.bury(rank)
        self.seats[rank] = self.seat(self.team, rank, self.regions)
        self.model.names[rank] = self.seats[rank].name

    @precondition(lambda self: self.held_by_the_dead())
    @rule(target=entered, who=ranks, shared=st.booleans(), which=st.integers(0, 9))
    def wait_for_the_dead(self, who: int, shared: bool, which: int) -> Any:
        """Wait for a stripe that only the dead hold; who is in the way is buried at that."""
        found = self.held_by_the_dead()
        name, stripe = found[which % len(found)]
        first = self.model.word((name, stripe))[0]
        shared = shared and first > 0  # sharers are not in the way of a sharer
        for rank in [first - 1] if shared else self.dead_of((name, stripe)):
            self.bury(rank)
        who = self.living(who)
        region = Region(next(self.numbers), who, (self.row((name, stripe)),), shared=shared, seat=self.seats[who])
        self.model.contended[name] += 1
        return self.note(self.ask(who, "enter", region.number, region.parts, region.options(), None), region)

    def bury(self, rank: int) -> None:
        self.model.bury(rank)
        self.died_waiting.discard(rank)

    def held_by_the_dead(self) -> list[Stripe]:
        """Return the stripes that nobody but the dead holds, though nobody has buried them."""
        found = dict.fromkeys([*self.model.held, *self.model.claims])
        return [
            stripe
            for stripe in found
            if stripe[0] != LOCK
            and self.dead_of(stripe)
            and all(who in self.dead() for who in self.model.held.get(stripe, {}))
        ]

    def dead_of(self, stripe: Stripe) -> list[int]:
        """Return the dead who hold a stripe or keep sharers from it."""
        holding = {*self.model.held.get(stripe, {}), self.model.claims.get(stripe, -1)}
        return [who for who in self.dead() if who in holding]

    def abandoned_rows(self) -> list[tuple[str, int]]:
        return [self.row(stripe) for stripe in self.model.abandoned if stripe[0] != LOCK]

    def row(self, stripe: Stripe) -> tuple[str, int]:
        """Return a row that a stripe guards, as a part of a region."""
        return stripe[0], stripe[1] * self.model.block(stripe[0])


def run(machine: type[LockTable], examples: int, **changes: Any) -> None:
    changes = {"max_examples": 100 * examples if LONG else examples, "stateful_step_count": 50, **changes}
    try:
        run_state_machine_as_test(machine, settings=settings(**changes))
    finally:
        end_idle()


def end_idle() -> None:
    while Child.idle:
        Child.idle.pop().kill()


# Making a failing example small takes minutes; an example itself takes milliseconds.
patiently = pytest.mark.timeout(3600 if LONG else 900)


@patiently
def test_threads_enter_and_leave_as_the_model_does() -> None:
    run(Threads, 40)


@patiently
def test_processes_enter_and_leave_as_the_model_does() -> None:
    run(Processes, 20)


@patiently
def test_processes_die_and_are_survived_as_in_the_model() -> None:
    run(Mortals, 30)


@pytest.mark.parametrize("left_before", [True, False])
def test_who_dies_waiting_for_a_sharer_was_never_inside(left_before: bool) -> None:
    machine = Mortals()
    try:
        region = machine.enter(0, (("A", 3),), None, shared=True)
        machine.die_waiting(who=1, shared=False, which=0)
        if left_before:
            machine.leave(region, keep=False)
        machine.come_in_the_place_of_the_dead(which=0)
        if not left_before:
            machine.leave(region, keep=False)
        assert isinstance(machine.enter(1, (("A", 3),), 5), Region)
        machine.the_words_say_what_the_model_says()
    finally:
        machine.teardown()
        end_idle()


# -- a wrong model is told from a right one --------------------------------------------------


class ForgetsDepth(Model):
    """Leaving once frees what was entered twice."""

    def give(self, who: int, stripe: Stripe, failed: bool) -> None:
        if who in self.held[stripe]:
            self.held[stripe][who].depth = 1
            super().give(who, stripe, failed)


class KeepsTheFirst(Model):
    """A region that was refused keeps the stripes that it had."""

    def give_back(self, who: int, stripes: list[Stripe], failed: bool, refused: bool = False) -> None:
        if not refused:
            super().give_back(who, stripes, failed)


class SharersExclude(Model):
    """Sharers keep each other out."""

    def admits_sharers(self, holds: dict[int, Hold]) -> bool:
        return False


class LocksRows(Model):
    """Rows that share a stripe can be held by two."""

    def block(self, name: str) -> int:
        return 1


class Weakens(Model):
    """A shared region inside an exclusive one makes the hold shared."""

    def take(self, region: Region, stripe: Stripe) -> None:
        super().take(region, stripe)
        self.held[stripe][region.who].exclusive = not region.shared


class Upgrades(Model):
    """Who is alone in sharing may enter exclusively."""

    def refusal(self, region: Region, stripe: Stripe) -> Refusal | None:
        holds = self.held.get(stripe, {})
        return None if list(holds) == [region.who] else super().refusal(region, stripe)


class NamesEverybody(Model):
    """Who does not hold a stripe is named as a holder too."""

    def holders(self, stripe: Stripe) -> tuple[str, ...]:
        return tuple(self.names)


class BuriesAsFree(Model):
    """What the dead held is free."""

    def abandon(self, who: int, stripe: Stripe) -> None:
        del self.held[stripe][who]


class AbandonsShared(Model):
    """What the dead shared is abandoned."""

    def abandon(self, who: int, stripe: Stripe) -> None:
        self.held[stripe][who].exclusive = True
        super().abandon(who, stripe)


class FailsClean(Model):
    """A body that fails after a take-over leaves the rows free."""

    def give(self, who: int, stripe: Stripe, failed: bool) -> None:
        super().give(who, stripe, failed=False)


class NeverPutsBack(Model):
    """What a region updated stays, however it ends."""

    def put_back(self, record: Record) -> None:
        pass


class PutsBackEarliestFirst(Model):
    """Of nested updates the inner one's beginning is what remains."""

    def die_waiting(self, who: int, stripe: Stripe, shared: bool) -> None:
        """Keep sharers from coming, though never having been in there."""
        if not shared and self.admits_sharers(self.held[stripe]):
            self.claims[stripe] = who

    def latest_first(self, records: list[Record]) -> list[Record]:
        return records


FLAWS = [ForgetsDepth, KeepsTheFirst, SharersExclude, LocksRows, Weakens, Upgrades, NamesEverybody]
FLAWS_OF_DEATH = [BuriesAsFree, AbandonsShared, FailsClean, NeverPutsBack, PutsBackEarliestFirst]


@patiently
@pytest.mark.parametrize(
    ("machine", "flawed"), [(Threads, flaw) for flaw in FLAWS] + [(Mortals, flaw) for flaw in FLAWS_OF_DEATH]
)
def test_a_wrong_model_is_noticed(machine: type[LockTable], flawed: type[Model]) -> None:
    wrong = type("Flawed", (machine,), {"model_class": flawed})
    with pytest.raises(AssertionError):
        run(wrong, 300, phases=[Phase.generate], database=None, report_multiple_bugs=False)
