"""The applications on Ray: tasks that pass on references, so that no step waits for the driver."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.crews import Array, Crew, Job, crew_of
from benchmarks.programs import problems

__all__ = ["ray_crew"]


def ray_crew(stack: ExitStack, workers: int) -> Crew:
    """Return the run; inputs are put into the object store once."""
    import ray

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=2 << 30,
        runtime_env={"env_vars": dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")},
    )
    stack.callback(ray.shutdown)

    def prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
        inputs = ray.put(job.inputs)
        found: list[Array] = []

        def compute() -> None:
            found[:] = [_gathered(job, inputs) if job.problem.gathers else _summed(job, inputs)]

        compute()  # starts Ray's workers
        return compute, lambda: found[0]

    return crew_of(prepare)


def _summed(job: Job, inputs: Any) -> Array:
    """Send the small state along, and sum what comes back."""
    import ray

    piece = ray.remote(_partial_sum)
    state = job.problem.start(job.inputs, job.size)
    shares = [problems.share(job.units, rank, job.workers) for rank in range(job.workers)]
    for _ in range(job.problem.steps):
        sums = ray.get([piece.remote(job.problem.name, inputs, state, *share) for share in shares])
        state = job.problem.finish(np.sum(sums, axis=0), state)
    return state


def _partial_sum(name: str, inputs: dict[str, Array], state: Array, start: int, stop: int) -> Array:
    problem = problems.ALL[name]
    out = np.empty(problem.shape(inputs, state))
    problem.kernel(inputs, state, start, stop, out)
    return out


def _gathered(job: Job, inputs: Any) -> Array:
    """Keep the pieces where they were made; a task gets those that it needs."""
    import ray

    problem, workers = job.problem, job.workers
    shares = [problems.share(job.units, rank, workers) for rank in range(workers)]
    state = problem.start(job.inputs, job.size)
    if not problem.is_local:
        piece = ray.remote(_rows_of_all)
        pieces = [ray.put(state[start:stop]) for start, stop in shares]
        for _ in range(problem.steps):
            pieces = [piece.remote(problem.name, inputs, *share, *pieces) for share in shares]
        return np.concatenate(ray.get(pieces))
    slab = ray.remote(_rows_of_slab).options(num_returns=3)
    ends = ray.put(state[:1]), ray.put(state[-1:])
    slabs = []
    for start, stop in shares:
        rows = state[start + 1 : stop + 1]
        slabs.append([ray.put(rows), ray.put(rows[:1].copy()), ray.put(rows[-1:].copy())])
    for _ in range(problem.steps):
        above = [ends[0], *[each[2] for each in slabs[:-1]]]
        below = [*[each[1] for each in slabs[1:]], ends[1]]
        slabs = [slab.remote(problem.name, a, own[0], b) for a, own, b in zip(above, slabs, below, strict=True)]
    return np.concatenate([state[:1], *ray.get([each[0] for each in slabs]), state[-1:]])


def _rows_of_all(name: str, inputs: dict[str, Array], start: int, stop: int, *pieces: Array) -> Array:
    state = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    out = np.empty((stop - start, *state.shape[1:]))
    problems.ALL[name].kernel(inputs, state, start, stop, out)
    return out


def _rows_of_slab(name: str, above: Array, own: Array, below: Array) -> tuple[Array, Array, Array]:
    """Return the next state of a slab, and its first and last row apart, for the neighbours."""
    out = np.empty_like(own)
    problems.ALL[name].kernel({}, np.concatenate([above, own, below]), 0, len(own), out)
    return out, out[:1].copy(), out[-1:].copy()
