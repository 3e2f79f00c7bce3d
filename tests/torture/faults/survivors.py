"""Deaths in a run that goes on without the dead: locks, barriers, results and the account of every row."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from typing import Any

import pydsm
from tests.torture.crew import Crew, Plan
from tests.torture.figures import Figures
from tests.torture.processes import fork
from tests.torture.settings import Settings
from tests.torture.worker import Habits, Intent, Worker
from tests.torture.world import Board, World, now

__all__ = ["survivors"]

_SIZE = 6
_ROUNDS = 12
_OPERATIONS = 25


def survivors(settings: Settings) -> Figures:
    """Kill workers of ``Team(on_death="continue")``, run after run.

    Recovery is as in `kills`; those that survive come through the same number of barriers.
    """
    plan = Plan(
        kills=settings.count,
        lanes=_SIZE,
        pause=0.03,
        patience=settings.patience,
        seed=settings.seed,
        ranks=_SIZE,
        habits=Habits(aimed=0.2, traced=0.1),
    )
    return _Survivors("survivors", plan, settings.on_progress, on_death="continue").run()


class _Survivors(Crew):
    """A crew whose workers are those of a team's runs."""

    def start(self) -> None:
        pass

    def inject(self) -> None:
        while self.deaths < self.plan.kills and not self.figures.problems:
            self._run_once()

    def _run_once(self) -> None:
        words = self.world.board.words
        plans = []
        for lane in self.lanes:
            lane.workers += 1
            seed = f"{self.plan.seed}/{lane.number}/{lane.workers}"
            words[lane.number] = 0
            words[lane.number, Board.FIRST] = lane.first
            plans.append((lane.first, list(lane.pending.values()), seed))
        seed_of_killer = self.dice.random()
        killer = fork(lambda: _kill_some(self.world.board, self.plan, seed_of_killer))
        try:
            results: list[Any] = self.world.team.run(_program, self.world, plans, self.plan.habits)
        except pydsm.WorkerDiedError as error:
            results = [error] * _SIZE
            self.figures.note("runs that nobody survived")
        finally:
            killer.end()
        self.figures.note("runs")
        dead = [result for result in results if isinstance(result, pydsm.WorkerDiedError)]
        self.deaths += len(dead)
        self.on_progress(len(dead))
        for rank, result in enumerate(results):
            self._look_at(rank, result, nobody_survived=len(dead) == _SIZE)
        for lane in self.lanes:
            killed = int(words[lane.number, Board.CONDEMNED])
            if killed and isinstance(results[lane.number], pydsm.WorkerDiedError):
                self.kill_times[int(words[lane.number, Board.PID])] = killed
            self.figures.operations += int(words[lane.number, Board.OPERATIONS])
            words[lane.number, Board.PID] = 0
            self.ingest(lane)

    def _look_at(self, rank: int, result: Any, *, nobody_survived: bool) -> None:
        if not isinstance(result, pydsm.WorkerDiedError):
            if result != _ROUNDS:
                self.figures.problems.append(f"rank {rank} survived and returned {result!r}, not {_ROUNDS}")
        elif not nobody_survived and (result.rank != rank or result.exitcode not in (-signal.SIGKILL, -signal.SIGALRM)):
            self.figures.problems.append(f"in the place of rank {rank}: {result!r}")


def _program(worker: pydsm.Worker, world: World, plans: list[tuple[int, list[Intent], str]], habits: Habits) -> int:
    first, pending, seed = plans[worker.rank]
    dice = random.Random(seed)
    mine = Worker(world, worker.rank, first, dice, habits)
    world.board.words[worker.rank, Board.PID] = os.getpid()
    for intent in pending:
        mine.resolve(intent)
    doom, luck = -1, dice.random()
    if luck < habits.aimed:
        doom = dice.randrange(_ROUNDS * _OPERATIONS)
    elif luck < habits.aimed + habits.traced:
        mine.die_at_a_line()
    for _ in range(_ROUNDS):
        for _ in range(_OPERATIONS):
            mine.step(doom)
        worker.barrier()
    sys.settrace(None)
    world.board.words[worker.rank, Board.PID] = 0
    return _ROUNDS


def _kill_some(board: Board, plan: Plan, seed: float) -> None:
    """Kill workers now and then, two at most; a worker that is on its way out has taken its pid off the board."""
    dice = random.Random(seed)
    for _ in range(dice.randrange(3)):
        time.sleep(dice.expovariate(1 / plan.pause))
        lane = dice.randrange(plan.lanes)
        pid = int(board.words[lane, Board.PID])
        with contextlib.suppress(ProcessLookupError):
            if pid:
                handle = os.pidfd_open(pid)
                if board.words[lane, Board.PID] == pid:
                    board.words[lane, Board.CONDEMNED] = now()
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)
