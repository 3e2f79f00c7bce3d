"""A worker of a crew: what it does to the arrays until it is killed, and the checks it makes inside.

Every operation is an intent in the journal, a region, an update of one or several rows in
it, and a record right after the exit.  An operation whose worker died between is unknown:
the next worker of the lane finds out from the rows, before anything else, what became of
it, so the account of every row comes out exact.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

import numpy as np

import pydsm
from pydsm.native import held
from tests.torture.journal import ABORT, DONE, EXCLUSION, INTENT, REFUSED, RESOLVED, TAKEN_OVER, TORN
from tests.torture.world import (
    ARRAYS,
    COARSE,
    COARSE_STRIPES,
    LEFT,
    LOCKS,
    NAMED,
    PLAIN,
    RIGHT,
    ROWS,
    UNDO,
    UNDONE,
    Board,
    Row,
    World,
    array_of,
    now,
    row_id,
    row_of,
)

__all__ = ["Habits", "Intent", "Worker", "live"]

_PID: Final = re.compile(r"pid (\d+)")
_FILES: Final = tuple(f"/pydsm/sync/{name}.py" for name in ("burial", "lockwords", "locktable", "namespace", "undo"))
_SPARED_NS: Final = 300_000_000
_GAVE_UP = (pydsm.LockTimeoutError, pydsm.DeadlockError)


@dataclass(frozen=True)
class Intent:
    """An operation whose worker died before it said what became of it."""

    seq: int
    atomic: bool
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Habits:
    """How workers of a crew behave.

    Attributes
    ----------
    aimed : float
        Share of the workers that die by a clock of their own, within an operation.
    traced : float
        Share of the workers that die before some line of pydsm's own code.
    accompanied : float
        Share of the workers that have a second thread, which enters regions and dies with the first.
    impatient : bool
        Wait for a few milliseconds only.
    kinds : tuple of str
        The operations; all unless given.
    sabotage : callable, optional
        Called in each worker first, to break what is under test.
    """

    aimed: float = 0.4
    traced: float = 0.3
    accompanied: float = 0.2
    impatient: bool = False
    kinds: tuple[str, ...] = ()
    sabotage: Callable[[], None] | None = None


class _Stumble(Exception):
    """Raised inside a region on purpose."""


class _Again(Exception):
    """Raised inside a region that was taken over: it has to be as abandoned as before."""


def live(world: World, lane: int, first: int, pending: Sequence[Intent], seed: str, habits: Habits) -> None:
    """Be a worker until the board says that all is over."""
    try:
        faulthandler.register(signal.SIGUSR1, world.complaints, all_threads=True)
        if habits.sabotage is not None:
            habits.sabotage()
        dice = random.Random(seed)
        worker = Worker(world, lane, first, dice, habits)
        for intent in pending:
            worker.resolve(intent)
        companion = None
        if dice.random() < habits.accompanied:
            companion = threading.Thread(target=_accompany, args=(world, lane, seed, habits))
            companion.start()
        worker.work()
        if companion is not None:
            companion.join()
        world.board.words[lane, Board.BEAT] = 0
    except BaseException:
        _give_notice(world, lane, "worker")


def _accompany(world: World, lane: int, seed: str, habits: Habits) -> None:
    """Be a second thread: in and out of regions, with checks, and no update to account for."""
    try:
        worker = Worker(world, lane, 1, random.Random(f"{seed}/companion"), habits)
        while not world.board.is_over:
            with contextlib.suppress(*_GAVE_UP):
                worker.look_around()
    except BaseException:
        _give_notice(world, lane, "second thread")


def _give_notice(world: World, lane: int, who: str) -> NoReturn:
    """End the process because of an exception; the other thread may be inside, so nobody is robbed from now on."""
    world.board.words[lane, Board.AIMED] = now()
    world.complain(f"the {who} of lane {lane} ended: {traceback.format_exc()}")
    os._exit(1)


class Worker:
    """One worker, or the driver in its place when all have ended."""

    def __init__(
        self,
        world: World,
        lane: int,
        first: int,
        dice: random.Random,
        habits: Habits,
        patience: float | None = None,
    ) -> None:
        self.board, self.journal, self.world = world.board, world.journals[lane], world
        self.lane, self.seq, self.dice, self.habits, self.patience = lane, first - 1, dice, habits, patience
        if dice.random() < 0.5:
            self.arrays = [pydsm.attach(f"{world.namespace}/{name}") for name in ARRAYS]
        else:
            self.arrays = [world.team[name] for name in ARRAYS]
        self.locks = [world.team[name] for name in LOCKS]
        self.operations = 0
        self.ops: list[Callable[[], None]] = []
        for name, weight in _WEIGHTS.items():
            if not habits.kinds or name in habits.kinds:
                self.ops += [getattr(self, f"do_{name}")] * weight

    # -- life ----------------------------------------------------------------------

    def work(self) -> None:
        """Do one random operation after the other."""
        doom, luck = -1, self.dice.random()
        if luck < self.habits.aimed:
            doom = self.dice.randrange(1, 300)
        elif luck < self.habits.aimed + self.habits.traced:
            self.die_at_a_line()
        while not self.board.is_over:
            self.step(doom)

    def step(self, doom: int) -> None:
        """Do a random operation; die in it if it is the one with the number `doom`."""
        words = self.board.words[self.lane]
        words[Board.BEAT] = now()
        if self.operations == doom:
            self._take_aim()
        self.dice.choice(self.ops)()
        self.operations += 1
        words[Board.OPERATIONS] += 1

    def die_at_a_line(self) -> None:
        """Die before the n-th line from now of some file of pydsm's: where nothing is slow, a clock hardly hits."""
        name, left = self.dice.choice(_FILES), int(300 ** self.dice.random())

        def count(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            left -= event == "line"
            if left < 0:
                self.board.words[self.lane, Board.AIMED] = now()
                os.kill(os.getpid(), signal.SIGKILL)
            return count

        def choose(frame: FrameType, event: str, argument: object) -> Any:
            return count if frame.f_code.co_filename.endswith(name) else None

        self.board.words[self.lane, Board.SPARED] = now() + _SPARED_NS
        sys.settrace(choose)

    def _take_aim(self) -> None:
        """Die in the midst of what comes next: the kernel's clock, not a bytecode, says where."""
        delay = 10 ** self.dice.uniform(-5.3, -3)
        self.board.words[self.lane, Board.AIMED] = now() + int(delay * 1e9)
        signal.setitimer(signal.ITIMER_REAL, delay)

    def resolve(self, intent: Intent) -> None:
        """Find out what became of an operation of a dead worker of this lane, and say so."""
        mask = 0
        for position, identity in enumerate(intent.rows):
            array, number = array_of(identity), row_of(identity)
            self.board.words[self.lane, Board.BEAT] = now()

            def look(rows: list[np.ndarray], position: int = position) -> None:
                nonlocal mask
                mask |= (int(rows[0][Row.LAST + self.lane]) == intent.seq) << position

            if array == NAMED:
                self._under_lock(number, look, patience=self.patience)
            else:
                make = self._maker(array, number, timeout=self.patience)
                self._inside(make, look, [(array, number)], keen=True)
        if intent.atomic and mask not in (0, (1 << len(intent.rows)) - 1):
            self.journal.write(TORN, seq=intent.seq, rows=intent.rows, mask=mask)
        self.journal.write(RESOLVED, seq=intent.seq, rows=intent.rows, mask=mask)

    def visit(self, array: int, number: int) -> None:
        """Enter a row once, repairing what a dead one left."""
        if array == NAMED:
            self._under_lock(number, lambda rows: None, patience=self.patience)
        else:
            make = self._maker(array, number, timeout=self.patience)
            self._inside(make, lambda rows: None, [(array, number)], keen=True)

    def look_around(self) -> None:
        """Enter some rows, and change nothing."""
        array, row = self.dice.choice((PLAIN, COARSE, UNDO, RIGHT)), self._row()
        places = [(array, row), (array, row + 1)]
        self._inside(
            self._maker(array, slice(row, row + 2)), lambda rows: self._dwell(), places, key=slice(row, row + 2)
        )
        time.sleep(self.dice.random() * 0.001)

    # -- operations ------------------------------------------------------------------

    def do_row(self) -> None:
        """One row, repaired by hand after a death."""
        self._update(self.dice.choice((PLAIN, COARSE)), self._row())

    def do_rows(self) -> None:
        """Several rows."""
        start = self._row()
        key: Any = slice(start, start + self.dice.randrange(1, 4))
        if self.dice.random() < 0.4:
            key = sorted(self.dice.sample(range(ROWS), 3))
        self._update(self.dice.choice((PLAIN, COARSE)), key)

    def do_fenced(self) -> None:
        """One row, with a fence."""
        self._update(PLAIN, self._row(), fence=True)

    def do_undo(self) -> None:
        """One or several rows, all or nothing."""
        start = self._row()
        self._update(UNDO, self.dice.choice((start, slice(start, start + 2), sorted({start, (start + 3) % ROWS}))))

    def do_stumble(self) -> None:
        """An exception in the body under undo: nothing has happened."""
        row = self._row()
        seq = self._intend((row_id(UNDO, row),), atomic=True)

        def body(rows: list[np.ndarray]) -> None:
            self._mutate(row_id(UNDO, row), rows[0], seq)
            rows[0][Row.NEGATIVE] = 7
            raise _Stumble

        with contextlib.suppress(_Stumble, *_GAVE_UP):
            self._inside(self._maker(UNDO, row), body, [(UNDO, row)])
        self.journal.write(ABORT, seq=seq)

    def do_nested(self) -> None:
        """A region of one array inside a region of another one."""
        outer, inner = self.dice.choice(((PLAIN, UNDO), (PLAIN, COARSE), (UNDO, LEFT), (COARSE, RIGHT)))
        row, other = self._row(), self._row()
        self._update(outer, slice(row, row + 2), between=lambda: self._update(inner, other))

    def do_again(self) -> None:
        """A region inside a region of the same rows."""
        row = self._row()

        def between() -> None:
            with self.arrays[PLAIN].locked(slice(row, row + 2)), self.arrays[PLAIN].locked(row + 1):
                self._dwell()

        self._update(PLAIN, slice(row, row + 2), between=between)

    def do_nested_undo(self) -> None:
        """A region inside one of the same rows, half-written, both under undo; what the inner one does is undone."""
        row = self._row()

        def midway() -> None:
            with contextlib.suppress(_Stumble), self.arrays[UNDO].locked(row, undo=True) as view:
                view[Row.COUNT] = view[Row.TRIPLE] = 99
                time.sleep(self.dice.choice((0, 0.0003)))
                raise _Stumble

        self._update(UNDO, row, midway=midway)

    def do_group(self) -> None:
        """Rows of two arrays, all or nothing."""
        self._group(LEFT, RIGHT)

    def do_plain_group(self) -> None:
        """Rows of two arrays, each for itself."""
        self._group(PLAIN, COARSE)

    def do_shared(self) -> None:
        """Look at rows that nobody may write meanwhile."""
        array, row = self.dice.choice((PLAIN, UNDO, RIGHT)), self._row()
        try:
            with self.arrays[array].locked(slice(row, row + 2), shared=True, timeout=self._timeout()) as view:
                before = np.array(view)
                self._dwell()
                after = np.array(view)
                for offset in range(2):
                    if not np.array_equal(before[offset], after[offset]) or not _is_whole(before[offset]):
                        self._accuse(row_id(array, row + offset), int(after[offset][Row.OWNER]))
        except pydsm.OwnerDiedError as error:
            self._refused(error, 0)
            self._update(array, slice(row, row + 2), keen=True)
        except _GAVE_UP:
            pass

    def do_lock(self) -> None:
        """A row under a named lock."""
        number = self.dice.randrange(len(LOCKS))
        identity = row_id(NAMED, number)
        seq = self._intend((identity,), atomic=False)
        try:
            self._under_lock(number, lambda rows: self._mutate(identity, rows[0], seq), patience=self._timeout())
        except _GAVE_UP as error:
            self._give_up(seq, error)
        else:
            self.journal.write(DONE, seq=seq, rows=(identity,), mask=1)

    def do_timed(self) -> None:
        """Do not wait for long."""
        timeout = self.dice.choice((0, 0.001, 0.01, 0.05))
        self._update(self.dice.choice((PLAIN, UNDO)), self._row(), timeout=timeout)

    def do_disorder(self) -> None:
        """Two rows in any order: deadlocks, proven and given up by one of those in it."""
        row, other = self.dice.sample(range(ROWS), 2)
        self._update(PLAIN, row, between=lambda: self._update(PLAIN, other, timeout=0.5))

    # -- how they are done -----------------------------------------------------------

    def _row(self) -> int:
        return self.dice.randrange(ROWS - 1)

    def _timeout(self) -> float | None:
        return self.dice.choice((0.0, 0.002, 0.03, 0.15)) if self.habits.impatient else self.patience

    def _maker(self, array: int, key: Any, **options: Any) -> Callable[[bool], Any]:
        """Return what makes the region of some rows, given whether to take over from the dead."""
        options.setdefault("timeout", self._timeout())
        if array in UNDONE:
            options["undo"] = True
        return lambda recover: self.arrays[array].locked(key, recover=recover, **options)

    def _intend(self, identities: tuple[int, ...], *, atomic: bool) -> int:
        self.seq += 1
        self.journal.write(INTENT, int(atomic), seq=self.seq, rows=identities)
        return self.seq

    def _give_up(self, seq: int, error: Exception) -> None:
        self.journal.write(ABORT, int(isinstance(error, pydsm.DeadlockError)), seq=seq)

    def _update(
        self,
        array: int,
        key: Any,
        *,
        between: Callable[[], None] | None = None,
        midway: Callable[[], None] | None = None,
        keen: bool = False,
        **options: Any,
    ) -> None:
        """Add 1 to the rows, and account for it; do something else after the first row, or in the midst of it."""
        places = [(array, number) for number in _numbers(key)]
        self._account(self._maker(array, key, **options), places, key, between, midway, keen=keen)

    def _group(self, one: int, other: int) -> None:
        """Add 1 to a row of each."""
        places = [(one, self._row()), (other, self._row())]
        self.dice.shuffle(places)
        options = {"timeout": self._timeout(), "undo": one in UNDONE}

        def make(recover: bool) -> Any:
            return pydsm.locked(*((self.arrays[array], row) for array, row in places), recover=recover, **options)

        self._account(make, places, None)

    def _account(
        self,
        make: Callable[[bool], Any],
        places: list[tuple[int, int]],
        key: Any,
        between: Callable[[], None] | None = None,
        midway: Callable[[], None] | None = None,
        *,
        keen: bool = False,
    ) -> None:
        identities = tuple(row_id(*place) for place in places)
        seq = self._intend(identities, atomic=places[0][0] in UNDONE)

        def body(rows: list[np.ndarray]) -> None:
            for position, (identity, row) in enumerate(zip(identities, rows, strict=True)):
                self._mutate(identity, row, seq, midway)
                if position == 0 and between is not None:
                    between()

        try:
            self._inside(make, body, places, key=key, keen=keen)
        except _GAVE_UP as error:
            self._give_up(seq, error)
        else:
            self.journal.write(DONE, seq=seq, rows=identities, mask=(1 << len(identities)) - 1)

    def _inside(
        self,
        make: Callable[[bool], Any],
        body: Callable[[list[np.ndarray]], None],
        places: list[tuple[int, int]],
        *,
        key: Any = 0,
        keen: bool = False,
    ) -> None:
        """Enter, check what is found, do something, leave; take over from the dead when told of them."""
        begin, before = now(), held()
        recover = keen or self.dice.random() < 0.5
        while True:
            region, entered = make(recover), False
            try:
                with region as view:
                    entered, end = True, now()
                    rows = self._rows(view, key, places)
                    dead = _pids(region.recovered)
                    if dead:
                        self._took_over(dead, places, begin, end)
                    self._check(places, rows, bool(dead))
                    if dead and self.dice.random() < 0.1:
                        raise _Again
                    body(rows)
                return
            except pydsm.OwnerDiedError as error:
                if entered:
                    raise
                self._refused(error, before)
                recover = True
            except _Again:
                recover = True

    def _under_lock(
        self, number: int, body: Callable[[list[np.ndarray]], None], *, patience: float | None = None
    ) -> None:
        lock, before = self.locks[number], held()
        recover = self.dice.random() < 0.5
        while True:
            try:
                if not lock.acquire(timeout=patience, recover=recover):
                    raise pydsm.LockTimeoutError(f"{lock!r} was not had in time")
                break
            except pydsm.OwnerDiedError as error:
                self._refused(error, before)
                recover = True
        try:
            row = np.asarray(self.arrays[NAMED])[number]
            self._check([(NAMED, number)], [row], recover)
            body([row])
        finally:
            lock.release()

    # -- what is found inside, and what is done about it -----------------------------------

    def _rows(self, view: Any, key: Any, places: list[tuple[int, int]]) -> list[np.ndarray]:
        if key is None:
            return [np.asarray(part) for part in view]
        if isinstance(key, int):
            return [np.asarray(view)]
        if isinstance(key, slice):
            return list(np.asarray(view))
        return [np.asarray(self.arrays[array])[number] for array, number in places]

    def _took_over(self, dead: list[int], places: list[tuple[int, int]], begin: int, end: int) -> None:
        identities = tuple(row_id(*place) for place in places)
        for pid in dead:
            self.journal.write(TAKEN_OVER, rows=identities, begin=begin, end=end, extra=pid)
            if self.board.runs(pid):
                self._accuse(identities[0], pid)

    def _check(self, places: list[tuple[int, int]], rows: list[np.ndarray], recovered: bool) -> None:
        """See whether the rows are as they have to be at an enter, and make them so."""
        for (array, number), row in zip(places, rows, strict=True):
            token = int(row[Row.OWNER])
            if token == 0 and _is_whole(row):
                continue
            identity = row_id(array, number)
            if token and not self.board.is_dead(token):
                self._accuse(identity, token)
            elif token == 0 or array in UNDONE:
                self.journal.write(TORN, rows=(identity,), extra=token)
            elif not recovered:
                self._accuse(identity, token)
            else:
                self._repair(row)
                continue
            _mend(row)
        if recovered and any(array == COARSE for array, _ in places):
            self._repair_neighbours({number for array, number in places if array == COARSE})

    def _repair_neighbours(self, numbers: set[int]) -> None:
        """Repair what shares a stripe with the rows: the dead one may have been in any of them."""
        block = ROWS // COARSE_STRIPES
        whole = np.asarray(self.arrays[COARSE])
        for stripe in {number // block for number in numbers}:
            for row in whole[stripe * block : (stripe + 1) * block]:
                token = int(row[Row.OWNER])
                if token and self.board.is_dead(token):
                    self._repair(row)

    def _repair(self, row: np.ndarray) -> None:
        """Complete a dead one's update, or take it back: either is right, for nobody was told."""
        token = int(row[Row.OWNER])
        lane, seq = token & 255, token >> 8
        if int(row[Row.LAST + lane]) != seq:
            forward = self.dice.random() < 0.5
            _write(row, int(row[Row.BEFORE]) + forward)
            if forward:
                row[Row.LAST + lane] = seq
        row[Row.OWNER] = 0

    def _mutate(self, identity: int, row: np.ndarray, seq: int, midway: Callable[[], None] | None = None) -> None:
        """Update a row whose region is held, so slowly that a death finds it half-way."""
        before, token = int(row[Row.COUNT]), seq << 8 | self.lane
        row[Row.BEFORE] = before
        row[Row.OWNER] = token
        row[Row.COUNT] = before + 1
        (midway or self._dwell)()
        row[Row.NEGATIVE] = -(before + 1)
        row[Row.TRIPLE] = 3 * (before + 1)
        row[Row.LAST + self.lane] = seq
        if int(row[Row.OWNER]) != token or int(row[Row.COUNT]) != before + 1:
            self._accuse(identity, int(row[Row.OWNER]))
        row[Row.OWNER] = 0

    def _dwell(self) -> None:
        luck = self.dice.random()
        if luck < 0.03:
            time.sleep(0.0005)
        elif luck < 0.2:
            until = now() + self.dice.randrange(40_000)
            while now() < until:
                pass

    def _refused(self, error: pydsm.OwnerDiedError, before: int) -> None:
        self.journal.write(REFUSED, extra=error.pid)
        if self.board.runs(error.pid):
            self._accuse(0, error.pid)
        if held() != before:
            self.world.complain(f"{held() - before} stripes are held after {error}")

    def _accuse(self, identity: int, token: int) -> None:
        self.journal.write(EXCLUSION, rows=(identity,), extra=token)


def _numbers(key: Any) -> list[int]:
    if isinstance(key, int):
        return [key]
    return list(range(ROWS)[key]) if isinstance(key, slice) else list(key)


def _pids(recovered: Sequence[str]) -> list[int]:
    return [int(match[1]) for text in recovered if (match := _PID.search(text))]


def _is_whole(row: np.ndarray) -> bool:
    count = int(row[Row.COUNT])
    return int(row[Row.NEGATIVE]) == -count and int(row[Row.TRIPLE]) == 3 * count and not row[Row.OWNER]


def _write(row: np.ndarray, count: int) -> None:
    row[Row.COUNT] = count
    row[Row.NEGATIVE] = -count
    row[Row.TRIPLE] = 3 * count


def _mend(row: np.ndarray) -> None:
    """Make a row whole that was found wrong, so that it is counted once."""
    _write(row, int(row[Row.COUNT]))
    row[Row.OWNER] = 0


_WEIGHTS: Final = {
    "row": 8,
    "rows": 5,
    "fenced": 1,
    "undo": 8,
    "stumble": 2,
    "nested": 5,
    "again": 1,
    "nested_undo": 4,
    "group": 8,
    "plain_group": 3,
    "shared": 5,
    "lock": 4,
    "timed": 3,
    "disorder": 1,
}
