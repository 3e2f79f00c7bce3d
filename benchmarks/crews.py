"""Who computes the applications: each function is for `benchmarks.serve`, and returns a run.

A run gets how often, which problem, its size and how many workers; it sets everything up
once, outside of the time: pools and processes are kept, inputs lie where the workers can
read them without a copy.  Every result is compared with serial NumPy's.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from benchmarks.programs import problems
from benchmarks.programs.problems import Problem

__all__ = ["joblib_crew", "pool_crew", "pydsm_crew", "serial_crew"]

Array = np.ndarray[Any, Any]
Crew = Callable[[int, str, int, int], float]
_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Job:
    """A problem of a size, with what it comes to."""

    problem: Problem
    size: int
    workers: int
    inputs: dict[str, Array]
    expected: Array

    @property
    def units(self) -> int:
        """How many pieces there could be."""
        units: int = self.problem.units(self.inputs, self.size)
        return units

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What `problems.solve` wants shared."""
        states, partials = problems.shared_shapes(self.problem, self.inputs, self.size, self.workers)
        return states, partials


def crew_of(prepare: Callable[[Job, ExitStack], tuple[Callable[[], object], Callable[[], Array]]]) -> Crew:
    """Return the run of what `prepare` makes of a job: what to time, and what gives the result.

    One job at a time is kept ready.
    """
    kept: dict[tuple[str, int, int], tuple[Job, ExitStack, Callable[[], object], Callable[[], Array]]] = {}

    def run(count: int, name: str, size: int, workers: int) -> float:
        key = (name, size, workers)
        if key not in kept:
            for _, stack, _, _ in kept.values():
                stack.close()
            kept.clear()
            problem, stack = problems.ALL[name], ExitStack()
            inputs = problem.inputs(size)
            job = Job(problem, size, workers, inputs, problems.serially(problem, inputs, size))
            kept[key] = (job, stack, *prepare(job, stack))
        job, _, compute, result = kept[key]
        seconds = 0.0
        for _ in range(count):
            began = time.perf_counter()
            compute()
            seconds += time.perf_counter() - began
            problems.check(job.problem, result(), job.expected)
        return seconds

    return run


def serial_crew(stack: ExitStack) -> Crew:
    """Return the run of plain NumPy in one process."""

    def prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
        states, partials = (np.empty(shape) for shape in problems.shared_shapes(job.problem, job.inputs, job.size, 1))

        def compute() -> None:
            problems.fill(job.problem, job.inputs, job.size, states)
            problems.solve(job.problem, job.inputs, states, partials, job.units, 0, 1, lambda: None)

        return compute, lambda: problems.result(job.problem, states)

    return crew_of(prepare)


def pydsm_crew(stack: ExitStack) -> Crew:
    """Return the run of a team, whose workers start with every run."""
    import pydsm

    def work(worker: pydsm.Worker, job: Job) -> None:
        shared = (worker["states"], worker["partials"])
        problems.solve(job.problem, job.inputs, *shared, job.units, worker.rank, worker.size, worker.barrier)

    def prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
        team = stack.enter_context(pydsm.Team(job.workers))
        states, _ = team.array("states", job.shapes[0]), team.array("partials", job.shapes[1])

        def compute() -> None:
            problems.fill(job.problem, job.inputs, job.size, states)
            team.run(work, job)

        return compute, lambda: problems.result(job.problem, states)

    return crew_of(prepare)


def pool_crew(stack: ExitStack) -> Crew:
    """Return the run of a pool that is kept, with a barrier, over shared memory that it inherits."""
    context = multiprocessing.get_context("fork")

    def prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
        states, partials = (_shared(shape, stack) for shape in job.shapes)
        barrier = context.Barrier(job.workers)
        global _task
        _task = partial(_solve, job, states, partials, partial(barrier.wait, _PATIENCE))
        pool = context.Pool(job.workers)
        stack.callback(pool.join)
        stack.callback(pool.close)

        def compute() -> None:
            problems.fill(job.problem, job.inputs, job.size, states)
            # As many tasks as workers, each of which stays in its barrier: so each worker has one.
            pool.map(_do_task, range(job.workers), chunksize=1)

        return compute, lambda: problems.result(job.problem, states)

    return crew_of(prepare)


_task: Callable[[int], None]


def _do_task(rank: int) -> None:
    _task(rank)


def _solve(job: Job, states: Array, partials: Array, barrier: Callable[[], object], rank: int) -> None:
    problems.solve(job.problem, job.inputs, states, partials, job.units, rank, job.workers, barrier)
    barrier()


def _shared(shape: tuple[int, ...], stack: ExitStack) -> Array:
    memory = SharedMemory(create=True, size=max(1, 8 * int(np.prod(shape))))
    stack.callback(memory.unlink)
    return np.ndarray(shape, buffer=memory.buf)


def joblib_crew(stack: ExitStack) -> Crew:
    """Return the run of processes that are kept, with everything in memory maps, as joblib's manual has it."""
    import joblib

    def prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        joblib.dump(job.inputs, f"{folder}/inputs")
        inputs = joblib.load(f"{folder}/inputs", mmap_mode="r")
        states, partials = (
            np.memmap(f"{folder}/{name}", float, "w+", shape=shape)
            for name, shape in zip(("states", "partials"), job.shapes, strict=True)
        )
        parallel = stack.enter_context(joblib.Parallel(job.workers))
        compute = partial(_in_steps, job, inputs, states, partials, parallel, joblib.delayed(_piece))
        return compute, lambda: problems.result(job.problem, states)

    return crew_of(prepare)


def _in_steps(
    job: Job, inputs: Any, states: Array, partials: Array, parallel: Callable[[Any], object], piece: Any
) -> None:
    """Have every step done by a call of `parallel`, which is a barrier as well."""
    problems.fill(job.problem, job.inputs, job.size, states)
    shares = [problems.share(job.units, rank, job.workers) for rank in range(job.workers)]
    for step in range(job.problem.steps):
        here, there, sums = states[step % 2], states[(step + 1) % 2], partials[step % 2]
        if job.problem.gathers:
            parallel(piece(job.problem.name, inputs, here, *share, there) for share in shares)
        else:
            parallel(piece(job.problem.name, inputs, here[0], *share, sums[rank]) for rank, share in enumerate(shares))
            there[0] = job.problem.finish(sums.sum(axis=0), here[0])


def _piece(name: str, inputs: Any, state: Array, start: int, stop: int, out: Array) -> None:
    problem = problems.ALL[name]
    if problem.gathers:
        out = out[start + problem.edge : stop + problem.edge]
    problem.kernel(inputs, state, start, stop, out)
