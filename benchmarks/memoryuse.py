"""What a worker's memory grows by when it reads a shared array: served to `benchmarks.footprint`.

Each function returns a run that says bytes instead of seconds: "pss" and "rss" added, and
"base", the proportional share before.  Two workers read at the same time and stay until both
have looked, so that what they share is divided by who has it.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

__all__ = ["array_memory", "joblib_memory", "manager_memory", "pydsm_memory", "ray_memory"]

_WORKERS = 2
_NAP = 0.01

Memory = tuple[int, int]
Run = Callable[[int, str], float]


def now() -> Memory:
    """Return this process's PSS and RSS, in bytes."""
    found = {}
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name in ("Pss", "Rss"):
                found[name] = int(rest.split()[0]) << 10
    return found["Pss"], found["Rss"]


def _watched(read: Callable[[], float], meet: Callable[[], object]) -> tuple[Memory, Memory]:
    """Return the memory before and after `read`, both taken while nobody leaves or reads."""
    meet()
    before = now()
    meet()
    kept = read()  # what it has read may not be freed yet
    meet()
    after = now()
    meet()
    del kept
    return before, after


def _answer(found: list[tuple[Memory, Memory]]) -> Run:
    before, after = found[0]
    values = {"pss": after[0] - before[0], "rss": after[1] - before[1], "base": before[0]}
    return lambda count, what: float(values[what])


def pydsm_memory(stack: ExitStack, length: int) -> Run:
    """Return the figures of a team's array."""
    import pydsm

    with pydsm.Team(_WORKERS) as team:
        A = team.array("A", length)
        A[:] = 1
        return _answer(team.run(lambda worker: _watched(lambda: float(worker["A"].sum()), worker.barrier)))


def _forked(read: Callable[[], Any]) -> Run:
    """Return the figures of workers that inherit what they read."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(_WORKERS), context.SimpleQueue()

    def work() -> None:
        answers.put(_watched(read, barrier.wait))

    workers = [context.Process(target=work) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return _answer(found)


def array_memory(stack: ExitStack, length: int) -> Run:
    """Return the figures of a multiprocessing.Array, read as an ndarray."""
    shared = multiprocessing.get_context("fork").Array("d", length)
    np.frombuffer(shared.get_obj())[:] = 1
    return _forked(lambda: float(np.frombuffer(shared.get_obj()).sum()))


def manager_memory(stack: ExitStack, length: int) -> Run:
    """Return the figures of a manager's list, of which a reader gets a copy."""
    manager = stack.enter_context(multiprocessing.get_context("fork").Manager())
    shared = manager.list(np.arange(length, dtype=float).tolist())
    return _forked(lambda: shared[:])


def joblib_memory(stack: ExitStack, length: int) -> Run:
    """Return the figures of a memory map that joblib passes to its processes."""
    import joblib

    folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    joblib.dump(np.ones(length), f"{folder}/data")
    data = joblib.load(f"{folder}/data", mmap_mode="r")
    steps = np.memmap(f"{folder}/steps", np.int64, "w+", shape=_WORKERS)
    with joblib.Parallel(_WORKERS) as parallel:
        return _answer(parallel(joblib.delayed(_joblib_work)(data, steps, rank) for rank in range(_WORKERS)))


def _joblib_work(data: Any, steps: Any, rank: int) -> tuple[Memory, Memory]:
    def meet() -> None:
        steps[rank] += 1
        while steps.min() < steps[rank]:
            time.sleep(_NAP)

    return _watched(lambda: float(data.sum()), meet)


def ray_memory(stack: ExitStack, length: int) -> Run:
    """Return the figures of an object in Ray's store, read by actors."""
    import ray

    ray.init(num_cpus=_WORKERS, include_dashboard=False, log_to_driver=False, object_store_memory=512 << 20)
    stack.callback(ray.shutdown)

    @ray.remote
    class Reader:
        def look(self) -> Memory:
            return now()

        def read(self, data: Any) -> float:
            self.data = data
            return float(data.sum())

    data = ray.put(np.ones(length))
    readers = [Reader.remote() for _ in range(_WORKERS)]
    before = ray.get([each.look.remote() for each in readers])
    ray.get([each.read.remote(data) for each in readers])
    after = ray.get([each.look.remote() for each in readers])
    return _answer(list(zip(before, after, strict=True)))
