"""A crew of workers whose dead are replaced, the one who kills them, and the account of every row."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import pydsm
from tests.torture.figures import Figures
from tests.torture.journal import (
    ABORT,
    DONE,
    EXCLUSION,
    INTENT,
    REFUSED,
    RESOLVED,
    TAKEN_OVER,
    TORN,
)
from tests.torture.processes import Child, fork, names_with
from tests.torture.worker import Habits, Intent, Worker, live
from tests.torture.world import ARRAYS, Board, Row, World, array_of, now, row_of

__all__ = ["Crew", "Plan"]

_TICK = 0.001
_ENOUGH = 50
_DEPTH = 2  # operations that one worker can be in


@dataclass(frozen=True)
class Plan:
    """What is done to a crew.

    Attributes
    ----------
    kills, stops : int
        How many deaths, and how many times a worker is stopped and let go on.
    lanes : int
        How many workers there are at a time.
    pause : float
        Seconds between two kills or stops, on average.
    patience : float
        How long a wait may take, in seconds, before it counts as a hang.
    ranks : int
        Size of the team that the arrays belong to.
    until_wrong : bool
        Stop as soon as something is wrong.
    """

    kills: int = 0
    stops: int = 0
    lanes: int = 6
    pause: float = 0.012
    patience: float = 5.0
    seed: int = 0
    ranks: int = 1
    until_wrong: bool = False
    habits: Habits = field(default_factory=Habits)


@dataclass
class _Lane:
    """A worker's place: who runs there, and what its dead have left open."""

    number: int
    child: Child | None = None
    pid: int = 0
    first: int = 1
    workers: int = 0
    killed_at: int = 0
    stopped_until: float = 0.0
    pending: dict[int, Intent] = field(default_factory=dict)


class Crew:
    """Runs a plan; `run` returns the figures."""

    def __init__(
        self, fault: str, plan: Plan, on_progress: Callable[[int], None] = lambda count: None, **options: Any
    ) -> None:
        self.plan, self.on_progress = plan, on_progress
        self.figures = Figures(fault)
        self.dice = random.Random(f"{plan.seed}/{fault}")
        self.world = World(plan.ranks, **options)
        self.lanes = [_Lane(number) for number in range(plan.lanes)]
        self.known = np.zeros((len(ARRAYS), 256), np.int64)  # updates that happened for certain
        self.kill_times: dict[int, int] = {}  # pid: when, for kills whose instant is known
        self.takeovers: dict[int, list[tuple[int, int]]] = {}
        self.deaths = self.stops = 0
        self.patient_from = time.monotonic()

    def run(self) -> Figures:
        """Do it."""
        began = time.monotonic()
        try:
            self.start()
            self.inject()
            self._finish()
            self._balance()
        finally:
            for lane in self.lanes:
                if lane.child is not None:
                    lane.child.end()
            self.figures.problems += self.world.complaints_so_far()
            self.world.close()
        self.figures.injected = self.deaths + self.stops
        self.figures.names_left = len(names_with(self.world.namespace))
        self.figures.note("deaths", self.deaths)
        self.figures.note("stops", self.stops)
        self._measure()
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def start(self) -> None:
        """Start the workers."""
        for lane in self.lanes:
            self._start(lane)

    def inject(self) -> None:
        """Kill and stop as many as planned."""
        while self.deaths < self.plan.kills or self.stops < self.plan.stops:
            if self.figures.hangs > 3 or len(self.figures.problems) > _ENOUGH:
                self.figures.problems.append("given up: too much is wrong")
                break
            if self.plan.until_wrong and self.figures.wrong():
                break
            self._strike()
            self._rest(self.dice.expovariate(1 / self.plan.pause))

    # -- workers ---------------------------------------------------------------------

    def _start(self, lane: _Lane) -> None:
        words, number = self.world.board.words[lane.number], lane.number
        pending, seed = list(lane.pending.values()), f"{self.plan.seed}/{number}/{lane.workers}"
        words[Board.FIRST] = lane.first
        words[Board.AIMED] = words[Board.SPARED] = 0
        words[Board.BEAT] = now()
        words[Board.CONDEMNED] = 0
        world, first, habits = self.world, lane.first, self.plan.habits

        def main() -> None:
            words[Board.PID] = os.getpid()
            live(world, number, first, pending, seed, habits)

        lane.child = fork(main)
        lane.pid = lane.child.pid
        lane.workers += 1
        lane.killed_at = 0

    def _reap(self, *, replace: bool) -> None:
        for lane in self.lanes:
            if lane.child is None or lane.child.poll() is None:
                continue
            self._bury(lane)
            if replace:
                self._start(lane)

    def _bury(self, lane: _Lane) -> None:
        """Take down how a worker ended, and read its journal."""
        assert lane.child is not None
        status, lane.child, lane.stopped_until = lane.child.status, None, 0.0
        words = self.world.board.words[lane.number]
        words[Board.PID] = 0
        self.figures.operations += int(words[Board.OPERATIONS])
        words[Board.OPERATIONS] = 0
        if status == -signal.SIGKILL and not lane.killed_at:  # by its own hand, before a line
            lane.killed_at = int(words[Board.AIMED])
            self.figures.note("died before a line")
        if status == -signal.SIGKILL:
            self.kill_times[lane.pid] = lane.killed_at
        elif status not in (0, -signal.SIGALRM, -signal.SIGKILL) or (
            status == -signal.SIGALRM and not words[Board.AIMED]
        ):
            self.figures.problems.append(f"a worker ended with exit code {status}")
        if status != 0:
            self.deaths += 1
            self.on_progress(1)
        self.ingest(lane)

    def ingest(self, lane: _Lane) -> None:
        """Read and empty a lane's journal."""
        records = self.world.journals[lane.number].consume()
        kinds, seqs = records["kind"], records["seq"]
        for kind in (DONE, RESOLVED):
            chosen = records[kinds == kind]
            for position in range(chosen["rows"].shape[1]):
                said = (chosen["mask"] >> position & 1).astype(bool)
                rows = chosen["rows"][said, position]
                np.add.at(self.known, (rows >> 8, rows & 255), 1)
        ended = seqs[np.isin(kinds, (DONE, RESOLVED, ABORT))]
        for seq in ended[ended < lane.first].tolist():
            lane.pending.pop(seq, None)
        unknown = records[(kinds == INTENT) & ~np.isin(seqs, ended)]
        if len(unknown) > _DEPTH:
            self.figures.problems.append(
                f"the journal of lane {lane.number} has {len(unknown)} operations without an end"
            )
        for record in unknown:
            rows = tuple(record["rows"][: record["count"]].tolist())
            lane.pending[int(record["seq"])] = Intent(int(record["seq"]), bool(record["what"]), rows)
        lane.first = max(lane.first, int(seqs.max(initial=0)) + 1)
        self._count(records, kinds)

    def _count(self, records: np.ndarray, kinds: np.ndarray) -> None:
        figures = self.figures
        figures.violations += int((kinds == EXCLUSION).sum())
        figures.torn += int((kinds == TORN).sum())
        figures.note("unknown, found out", int((kinds == RESOLVED).sum()))
        figures.note("OwnerDiedError", int((kinds == REFUSED).sum()))
        figures.note("given up", int((kinds == ABORT).sum()))
        figures.note("deadlocks", int(((kinds == ABORT) & (records["what"] == 1)).sum()))
        for record in records[kinds == TAKEN_OVER]:
            figures.note("taken over")
            self.takeovers.setdefault(int(record["extra"]), []).append((int(record["begin"]), int(record["end"])))
        for record in records[np.isin(kinds, (EXCLUSION, TORN))][:3]:
            if len(figures.problems) < 20:
                figures.problems.append(_describe(record))

    # -- faults ----------------------------------------------------------------------

    def _strike(self) -> None:
        """Kill somebody, or stop somebody for a while."""
        running = [lane for lane in self.lanes if lane.child is not None and not lane.stopped_until]
        kills, stops = self.plan.kills - self.deaths, self.plan.stops - self.stops
        if not running or (kills <= 0 and stops <= 0):
            return
        lane = self.dice.choice(running)
        assert lane.child is not None
        if lane.child.poll() is not None or self.world.board.words[lane.number, Board.SPARED] > now():
            return
        if self.dice.random() * (max(kills, 0) + max(stops, 0)) < kills:
            self._kill(lane)
        else:
            lane.child.send(signal.SIGSTOP)
            lane.stopped_until = time.monotonic() + self.dice.uniform(0.02, 0.25)
            self.stops += 1
            self.on_progress(1)

    def _kill(self, lane: _Lane) -> None:
        assert lane.child is not None
        words = self.world.board.words[lane.number]
        words[Board.CONDEMNED] = lane.killed_at = now()
        lane.child.send(signal.SIGKILL)

    def _rest(self, seconds: float, *, replace: bool = True) -> None:
        """Look after the crew for so long."""
        until = time.monotonic() + seconds
        while True:
            self._reap(replace=replace)
            self._let_go()
            self._look_for_hangs()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _TICK))

    def _let_go(self) -> None:
        for lane in self.lanes:
            if lane.stopped_until and time.monotonic() >= lane.stopped_until:
                self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        lane.stopped_until = 0.0
        self.world.board.words[lane.number, Board.BEAT] = now()
        if lane.child is not None:
            lane.child.send(signal.SIGCONT)

    def _look_for_hangs(self) -> None:
        limit = now() - int(self.plan.patience * 1e9)
        for lane in self.lanes:
            beat = int(self.world.board.words[lane.number, Board.BEAT])
            if lane.child is not None and not lane.stopped_until and 0 < beat < limit:
                self._hang(lane)

    def _hang(self, lane: _Lane) -> None:
        """Take down a worker that waits for too long, and end it."""
        assert lane.child is not None
        self.figures.hangs += 1
        self.world.complain(
            f"lane {lane.number} (pid {lane.pid}) got nowhere for {self.plan.patience} s:\n{self._held()}"
        )
        lane.child.send(signal.SIGUSR1)
        time.sleep(0.2)
        self.world.complain("")
        self._kill(lane)
        self.world.board.words[lane.number, Board.BEAT] = now()

    def _held(self) -> str:
        """Return who holds what, for people."""
        lines = []
        for resource in self.world.team.resources.values():
            locks = resource.words if isinstance(resource, pydsm.Lock) else resource.locked(None).locks
            for stripe in range(locks.stripes):
                if locks.holder(stripe) or locks.sharers(stripe):
                    words = f"{locks.holder(stripe):#x}, shared {locks.sharers(stripe):#x}"
                    lines.append(f"  {locks.policy.full_name(stripe)}: {words}, waiters {locks.waiters(stripe):#x}")
        return "\n".join(lines)

    # -- the end ---------------------------------------------------------------------

    def _finish(self) -> None:
        """Let everybody return, and find out what the dead have left open."""
        for lane in self.lanes:
            if lane.stopped_until:
                self._go_on(lane)
        self.world.board.finish()
        limit = time.monotonic() + self.plan.patience + 5
        while any(lane.child is not None for lane in self.lanes) and time.monotonic() < limit:
            self._rest(_TICK, replace=False)
        for lane in self.lanes:
            if lane.child is not None:
                self._hang(lane)
                lane.child.end()
                self._bury(lane)
        for lane in self.lanes:
            self.world.board.words[lane.number, Board.FIRST] = lane.first
        for lane in self.lanes:
            worker = self._stand_in(lane)
            for intent in list(lane.pending.values()):
                self._patiently(partial(worker.resolve, intent))
            self.ingest(lane)

    def _stand_in(self, lane: _Lane) -> Worker:
        return Worker(self.world, lane.number, lane.first, self.dice, Habits(), self.plan.patience)

    def _patiently(self, action: Callable[[], None]) -> None:
        try:
            action()
        except pydsm.LockTimeoutError as error:
            self.figures.hangs += 1
            self.figures.problems.append(f"at the end: {error}")

    def _balance(self) -> None:
        """Compare every row with the account."""
        worker = self._stand_in(self.lanes[0])
        for array in range(len(ARRAYS)):
            for number in range(len(worker.arrays[array])):
                self._patiently(partial(worker.visit, array, number))
        self.ingest(self.lanes[0])
        for array, name in enumerate(ARRAYS):
            for number, row in enumerate(np.asarray(worker.arrays[array])):
                difference = int(row[Row.COUNT]) - int(self.known[array, number])
                self.figures.lost += max(0, -difference)
                self.figures.invented += max(0, difference)
                if difference:
                    self.figures.problems.append(f"row {number} of {name!r} has {difference:+d} updates too many")
        for array in worker.arrays:
            found = array.statistics()
            if found.held_exclusive or found.held_shared:
                self.figures.problems.append(f"rows of {array.name!r} are held by nobody that lives:\n{self._held()}")

    def _measure(self) -> None:
        """From a kill to the first time that a survivor who waited had the rows: milliseconds."""
        for pid, killed in self.kill_times.items():
            entered = [(begin, end) for begin, end in self.takeovers.get(pid, []) if end > killed]
            if entered:
                begin, end = min(entered, key=lambda pair: pair[1])
                self.figures.recovery.append((end - max(begin, killed)) / 1e6)


def _describe(record: np.ndarray) -> str:
    rows = [f"row {row_of(row)} of {ARRAYS[array_of(row)]!r}" for row in record["rows"][: record["count"]].tolist()]
    what = "exclusion was violated" if record["kind"] == EXCLUSION else "torn"
    facts = f"update {record['seq']}, mask {record['mask']:b}, token {record['extra']}"
    return f"{what} at {', '.join(rows) or 'a look'}: {facts}"
