"""Litmus tests for real: worker processes, shared arrays, many rounds.

Every round has cells of its own, so that nothing of one round is left in the next, and begins when all
workers are there.  A worker's instructions become a Python function without a loop or a call around
them, so that as little as possible lies between two accesses.

- ``machine``: plain accesses go through a memoryview of a coherent array, with cells a cache line apart: as
  close to the processor as Python comes.  Workers meet in a loop that looks at the others' counts.
- ``coherent``: the same, with accesses as users write them, ``A[i] = 1``.
- Other memories of a team, as ``release`` and ``entry``: workers meet at ``worker.barrier()``, since a lazy
  memory shows a count to nobody, and the cells are close together, since what a lazy memory costs grows
  with the array.

Locks, fences, atomic operations and barriers are pydsm's own in all of them.  Histograms of few rounds say little
of a weak outcome that is rare; that an outcome is never seen says nothing of what is allowed.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import scheduler
from pydsm.lab.program import Instruction, Sum, Test
from pydsm.team import Team
from pydsm.worker import Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MEMORIES", "model_of", "run"]

MEMORIES: Final = ("machine", "coherent", "release", "entry")
_ON_MACHINE: Final = frozenset({"machine", "coherent"})
_LINE: Final = 8  # items of eight bytes in a cache line
_BATCH: Final = {"machine": 20_000, "coherent": 20_000}
_SMALL_BATCH: Final = 200
_SPINS: Final = 2000
_LAZY: Final = {"release": "lrc", "entry": "entry"}
_TSO: Final = frozenset({"x86_64", "amd64", "i686", "i386", "s390x"})


def model_of(memory: str) -> str:
    """Return the name of the model that a memory must keep to; of a machine that is its processor's.

    Of processors only TSO ones are known to be stronger than RMO.
    """
    if memory in _LAZY:
        return _LAZY[memory]
    return "tso" if platform.machine().lower() in _TSO else "rmo"


def run(test: Test, rounds: int, memory: str) -> tuple[Counter[tuple[int, ...]], float]:
    """Run a test; return how often it ended with which values (as `Test.labels`), and the seconds it took."""
    counts: Counter[tuple[int, ...]] = Counter()
    began = time.perf_counter()
    batch = min(rounds, _BATCH.get(memory, _SMALL_BATCH))
    spacing = _LINE if memory in _ON_MACHINE else 1
    with Team(test.size, memory="coherent" if memory in _ON_MACHINE else memory) as team:
        rows = batch * len(test.locations)
        cells = team.array("cells", rows * spacing, np.int64, stripes=rows)
        here = team.array("here", test.size * _LINE, np.int64)
        for start in range(0, rounds, batch):
            count = min(batch, rounds - start)
            cells[::spacing] = np.tile(test.initial, batch)
            here[:] = 0
            results = team.run(_work, test, count, spacing, memory)
            finals = np.asarray(cells)[::spacing].reshape(batch, -1)[:count, list(test.finals)]
            counts.update(map(tuple, np.hstack([*results, finals]).tolist()))
    return counts, time.perf_counter() - began


def _work(worker: Worker, test: Test, rounds: int, spacing: int, memory: str) -> NDArray[np.int64]:
    """Run a worker's rounds; return its registers, a row for each round."""
    # Under a controlled schedule only one worker moves, until it calls something of pydsm's.
    spin = memory in _ON_MACHINE and scheduler() is None
    program = _compiled(test, worker.rank, spin)
    cells, here = worker["cells"], worker["here"]
    plain = memoryview(cells) if memory == "machine" else cells
    cpus = sorted(os.sched_getaffinity(0))
    spins = _SPINS if test.size <= len(cpus) else 0
    if spin:
        # Else two workers may take turns on one processor for a whole run, and never be in a round together.
        os.sched_setaffinity(0, {cpus[worker.rank % len(cpus)]})
    kept: list[tuple[int, ...]] = []
    program(rounds, spacing, plain, cells, memoryview(here), worker.barrier, os.sched_yield, spins, kept.append)
    return np.array(kept, np.int64).reshape(rounds, -1)


def _compiled(test: Test, rank: int, spin: bool) -> Callable[..., None]:
    """Return a worker's rounds as a function; its text has nothing of the test's but numbers."""
    names: dict[str, Any] = {}
    exec(compile("\n".join(_source(test, rank, spin)), f"<worker {rank} of {test.name}>", "exec"), names)
    program: Callable[..., None] = names["program"]
    return program


def _source(test: Test, rank: int, spin: bool) -> Iterator[str]:
    """Yield the lines of a worker's function."""
    yield "def program(rounds, spacing, plain, cells, here, barrier, rest, spins, keep):"
    yield "    for turn in range(rounds):"
    for location in range(len(test.locations)):
        yield f"        c{location} = (turn * {len(test.locations)} + {location}) * spacing"
    yield from _meeting(test.size, rank) if spin else ("        barrier()",)
    depth = 2
    for step in test.programs[rank]:
        if step.op == "unlock":
            depth -= 1
            continue
        yield "    " * depth + _statement(step)
        if step.op == "lock":
            depth += 1
            yield "    " * depth + "pass"
    registers = (step.register for step in test.programs[rank] if step.register >= 0)
    yield f"        keep(({''.join(f'r{register}, ' for register in sorted(registers))}))"


def _meeting(size: int, rank: int) -> Iterator[str]:
    """Yield the lines in which a worker says that it is here, and waits for the others."""
    yield f"        here[{rank * _LINE}] = turn + 1"
    yield "        looks = 0"
    for other in range(size):
        if other != rank:
            yield f"        while here[{other * _LINE}] <= turn:"
            yield "            looks += 1"
            yield "            if looks > spins:"
            yield "                rest()"


def _statement(step: Instruction) -> str:
    """Return an instruction in Python."""
    cell, result = f"c{step.location}", f"r{step.register}"
    value = "" if step.value is None else _expression(step.value)
    if step.op == "read":
        return f"{result} = plain[{cell}]"
    if step.op == "write":
        return f"plain[{cell}] = {value}"
    if step.op == "lock":
        return f"with cells.locked({cell}):"
    if step.op == "fence":
        return "cells.fence()"
    if step.op == "barrier":
        return "barrier()"
    call = f"cells.{step.op}({', '.join(filter(None, (cell, value)))})"
    return f"{result} = {call}" if step.register >= 0 else call


def _expression(value: Sum) -> str:
    terms = [f"r{register}" for register in value.registers]
    return " + ".join(terms + [str(value.constant)] * (value.constant != 0 or not terms))
