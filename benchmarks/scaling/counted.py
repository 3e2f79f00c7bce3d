"""Small runs over MPI, counted, beside what the model says of the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling import model, wire
from benchmarks.scaling.drawn import TURNS, rows_of
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.model import Cost
from benchmarks.scaling.simulation import Act, Outcome, simulate
from benchmarks.scaling.timing import Machine
from benchmarks.scaling.wire import Part

__all__ = [
    "NAMES",
    "PROGRAM",
    "TURNS",
    "Counted",
    "command",
    "count",
    "expected",
    "job_of",
    "problems",
    "read",
    "simulated",
]

MEET = Act("barrier")
ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parents[1] / "programs" / "counts.py"
NAMES = (
    "region at home",
    "region elsewhere",
    "region elsewhere, row new",
    "region elsewhere, wide row",
    "region elsewhere, shared",
    "region of all rows",
    "fence",
    "fence, one row written",
    "fence, a row of each home written",
    "fence of rows of one home",
    "halo",
    "get",
    "put",
    "atomic at home",
    "atomic elsewhere",
    "accumulate, one home",
    "accumulate, every home",
    "wait_until",
    "named lock at home",
    "named lock elsewhere",
    "barrier",
    "barrier, all wrote",
    "allreduce",
    "share",
    "run",
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of one job: its layout, and what each operation sent."""

    counts: tuple[int, ...]
    found: dict[str, dict[str, Any]]
    segments: dict[str, dict[str, int]]
    """Bytes of what a node has in shared memory for each array, by what it is."""


def read(text: str) -> Counted:
    """Read what the program has printed."""
    told = json.loads(text)
    return Counted(tuple(told["counts"]), told["found"], told["segments"])


def command(ranks: int, launcher: Sequence[str], folder: str, names: Iterable[str] = NAMES) -> list[str]:
    """Return how to start the program."""
    return [*launcher, "-n", str(ranks), sys.executable, "-m", "pydsm", str(PROGRAM), folder, *names]


def count(nodes: str, launcher: Sequence[str] = (), names: Iterable[str] = NAMES) -> Counted:
    """Count on ranks that pretend to be on those nodes, as ``"0,1,2|3,4,5"``.

    Raises
    ------
    RuntimeError
        The job has failed, or there is no launcher.
    """
    beside = Path(sys.executable).parent / "mpiexec"
    started_by = list(launcher) or [str(beside)] if beside.exists() else [shutil.which("mpiexec") or ""]
    if not started_by[0]:
        raise RuntimeError("no mpiexec beside this Python or on the path: pip install 'py-dsm[mpi]' brings one")
    ranks = nodes.count(",") + nodes.count("|") + 1
    where = {**os.environ, "PYTHONPATH": str(ROOT), "PYDSM_MPI_NODES": nodes}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command(ranks, started_by, folder, names), cwd=ROOT, env=where, capture_output=True, text=True, timeout=300
        )
    if done.returncode:
        raise RuntimeError(f"the job that was to be counted ended with code {done.returncode}:\n{done.stderr}")
    return read(done.stdout)


def job_of(counts: Sequence[int]) -> Job:
    """Return the job that the program is, with its arrays."""
    size = sum(counts)
    return Job(tuple(counts), (Array(64 * size, 8, stripes=16 * size), Array(8 * size, 4096, stripes=8 * size)))


def expected(job: Job) -> dict[str, Cost]:
    """Return what the model says of each operation that the program does."""
    A, wide = job.arrays
    me = job.nodes - 1
    one = Part(1, A.item_bytes)
    all_rows = dict(enumerate(job.shares(A)))
    written_all = {home: Part(stripes * A.block, A.item_bytes) for home, stripes in all_rows.items()}
    every = [job.home_of(A, int(row)) for row in np.linspace(0, A.rows - 1, job.nodes)]
    first_own = job.bounds(A)[me] * A.block
    elsewhere = model.region(job, A, {0: 1}, {0: one})
    return {
        "region at home": model.region(job, A, {me: 1}, {me: one}),
        "region elsewhere": elsewhere,
        "region elsewhere, row new": model.region(job, A, {0: 1}, {0: one}, new={0: 1}),
        "region elsewhere, wide row": model.region(job, wide, {0: 1}, {0: Part(wide.row_bytes // 8, 8)}),
        "region elsewhere, shared": model.region(job, A, {0: 1}),
        "region of all rows": model.region(job, A, all_rows, written_all),
        "fence": model.fence(job, all_rows),
        "fence, one row written": model.fence(job, all_rows, {0: one}),
        "fence, a row of each home written": model.fence(job, all_rows, dict.fromkeys(every, one)),
        "fence of rows of one home": model.fence(job, {0: 1}),
        "halo": model.fence(job, {job.home_of(A, first_own - 1): 1}),
        "get": model.get(A.row_bytes),
        "put": model.put(A.row_bytes),
        "atomic at home": model.atomic(job, A, me),
        "atomic elsewhere": model.atomic(job, A, 0),
        "accumulate, one home": model.accumulate(job, A, {0: 1}),
        "accumulate, every home": model.accumulate(job, A, dict.fromkeys(every, 1)),
        "wait_until": model.atomic(job, A, 0, kind="wait"),
        "named lock at home": model.named_lock(job, me),
        "named lock elsewhere": model.named_lock(job, 0),
        "barrier": model.barrier(job),
        "barrier, all wrote": _all_wrote(job, A),
        "allreduce": model.allreduce(job),
        "share": model.share(),
        "run": model.run(job),
    }


def _all_wrote(job: Job, A: Array) -> Cost:
    """Return what a barrier costs before which each worker has written one row, half the array from its own.

    Of each array's stripes a node's workers look through equal parts, and tell each home in one message.
    """
    writers = {}  # the stripe that is written: the node that writes it
    for rank in range(job.workers):
        node = next(node for node in range(job.nodes) if rank < sum(job.counts[: node + 1]))
        row = (A.all_stripes * rank // job.workers * A.block + A.rows // 2) % A.rows
        writers[job.stripe_of(A, row)] = node
    told: dict[tuple[int, int, int], list[int]] = {}  # who tells whom, and what
    new = 0
    for stripe, node in sorted(writers.items()):
        home = job.home_of(A, stripe * A.block)
        looked = next(
            part for part in range(job.counts[node]) if stripe < A.all_stripes * (part + 1) // job.counts[node]
        )
        if home != node:
            told.setdefault((node, looked, home), []).append(stripe)
        new += job.nodes - 1 - (home != node)  # all but who is home of it or has written it
    pushes = list(map(len, told.values()))
    return model.barrier(job, pushes, Part(1, A.item_bytes), new, A.stripe_bytes)


def problems(counted: Counted) -> list[str]:
    """Say where the model and what was counted differ; bytes of pickled messages may, by a few."""
    found = []
    for name, cost in expected(job_of(counted.counts)).items():
        if name not in counted.found:
            continue
        seen = counted.found[name]
        messages, size = seen["messages"], seen["bytes"]
        if name == "run":
            messages = {kind: count for kind, count in messages.items() if kind != "report"}
        elif seen["rounds"] != cost.rounds and name != "region elsewhere, row new" and name != "share":
            found.append(f"{name}: {seen['rounds']} round trips, and the model says {cost.rounds}")
        said = {kind: count for kind, count in cost.messages.items() if kind != "report" or name != "run"}
        if messages != said:
            found.append(f"{name}: {messages}, and the model says {said}")
        elif name != "run":
            for kind, count in messages.items():
                few = 0 if kind in wire.PACKED else wire.PICKLED
                if abs(size[kind] - cost.bytes[kind]) > few * count:
                    found.append(f"{name}: {size[kind]} bytes of {kind}, and the model says {cost.bytes[kind]}")
    for name, array in zip(("A", "wide"), job_of(counted.counts).arrays, strict=True):
        said = model.memory(Job(counted.counts, (array,)))
        found += [
            f"{name}: {size} bytes of {what}, and the model says {said[what]}"
            for what, size in counted.segments[name].items()
            if size != said[what]
        ]
    return found


def simulated(counted: Counted) -> Outcome:
    """Simulate the program in which all workers lock random rows and meet."""
    job = job_of(counted.counts)
    rows = job.arrays[0].rows
    programs = [
        [act for turn in range(TURNS) for act in [*(Act("region", row) for row in rows_of(rank, turn, rows)), MEET]]
        for rank in range(job.workers)
    ]
    return simulate(job, Machine(), programs)
