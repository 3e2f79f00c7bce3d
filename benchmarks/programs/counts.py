"""How many messages, round trips and bytes operations take over MPI: counted, not timed.

Started by `benchmarks.scaling.counted`: ``python -m pydsm counts.py FOLDER [NAME ...]`` on ranks that pretend to be
on several nodes.  Prints one line of JSON: the layout, and for each operation what all ranks together send for one
of it, and the round trips that the one who does it waits for.

The worker that acts is the first one of the last node; row 0 has its home on node 0.  An operation is done once in
one run, and a few times more in a second one: the difference is its own, and the start, the end and the barriers of
a run, where others hear of what was written, cancel out.  What depends on the clock (``report``, with which servers
say that they live) is left out, but for runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import pydsm
from benchmarks.scaling.drawn import TURNS, rows_of
from pydsm.core import names

TIMES = 8
TOGETHER = {"barrier", "barrier, all wrote", "allreduce", "program"}
"""What all workers do."""
WIDE = 4096
"""Bytes of a row of the wide array."""
Sent = tuple[Counter[str], Counter[str]]


def operations(worker: pydsm.Worker) -> dict[str, Callable[[], Any]]:
    A, wide = worker["A"], worker["wide"]
    crew = _world_and_crew()[1]
    own = A.distribution(worker.rank).start
    every = np.linspace(0, len(A) - 1, crew.nodes).astype(int)

    def locked(array: Any, row: Any, *, shared: bool = False) -> None:
        with array.locked(row, shared=shared):
            if not shared:
                array[row] += 1

    def written(rows: Any) -> None:
        A[rows] += 1
        A.fence()

    def all_wrote() -> None:
        A[(own + len(A) // 2) % len(A)] += 1
        worker.barrier()

    def hold(lock: Any) -> None:
        with lock:
            pass

    locks = [worker[f"lock{number}"] for number in range(crew.size)]
    homes = [_engine().node.home_of_lock(lock.words.policy.array_id) for lock in locks]
    return {
        "nothing": lambda: None,
        "region at home": lambda: locked(A, own),
        "region elsewhere": lambda: locked(A, 0),
        "region elsewhere, wide row": lambda: locked(wide, 0),
        "region elsewhere, shared": lambda: locked(A, 0, shared=True),
        "region of all rows": lambda: locked(A, slice(None)),
        "fence": A.fence,
        "fence, one row written": lambda: written(0),
        "fence, a row of each home written": lambda: written(every),
        "fence of rows of one home": lambda: A.fence(0),
        "halo": lambda: A.halo(1),
        "get": lambda: A.get(0),
        "put": lambda: A.put(0, A[0] + 1),
        "atomic at home": lambda: A.fetch_add(own, 1),
        "atomic elsewhere": lambda: A.fetch_add(0, 1),
        "accumulate, one home": lambda: A.accumulate(0, 1),
        "accumulate, every home": lambda: A.accumulate(every, 1),
        "wait_until": lambda: A.wait_until(0, ">=", -1),
        "named lock at home": lambda: hold(locks[homes.index(crew.nodes - 1)]),
        "named lock elsewhere": lambda: hold(locks[homes.index(0)]),
        "barrier": worker.barrier,
        "barrier, all wrote": all_wrote,
        "allreduce": lambda: worker.allreduce(1.0),
    }


def _engine() -> Any:
    from pydsm.mpi.array import engine

    found = engine()
    assert found is not None, "count on two nodes or more"
    return found


def _world_and_crew() -> tuple[Any, Any]:
    working = _engine()
    return working.client.world, working.node.crew


def act(worker: pydsm.Worker, what: str, times: int, folder: str) -> tuple[Sent, Sent, int]:
    """Do an operation so many times; return what this rank had sent before and after it, and the round trips."""
    world, crew = _world_and_crew()
    actor = worker.rank == crew.first(crew.nodes - 1)
    before = _sent(world)
    count = 0
    worker.barrier()
    if what == "region elsewhere, row new":
        _take_turns(worker, actor, times, folder)
    elif what == "share" and actor:
        for _ in worker.share(times, chunk=1):
            pass
    elif what == "program":
        _program(worker, times)
    elif what in operations(worker) and (actor or what in TOGETHER):
        do = operations(worker)[what]
        if times:
            world.packed.take_rounds()
            do()
            count = world.packed.take_rounds()
        for _ in range(times - 1):
            do()
    worker.barrier()
    return before, _sent(world), count


def _take_turns(worker: pydsm.Worker, actor: bool, times: int, folder: str) -> None:
    """Let worker 0 write a row at home, and then the one that acts have it, and so on; a pipe says whose turn it is."""
    if not actor and worker.rank:
        return
    A = worker["A"]
    mine, others = (os.open(f"{folder}/{name}", os.O_RDWR) for name in (("a", "b") if actor else ("b", "a")))
    for _ in range(times):
        if actor:
            os.read(mine, 1)
        with A.locked(0):
            A[0] += 1
        os.write(others, b"x")
        if not actor:
            os.read(mine, 1)
    for descriptor in (mine, others):
        os.close(descriptor)


def _program(worker: pydsm.Worker, times: int) -> None:
    """Lock random rows of all homes, and meet now and then."""
    A = worker["A"]
    for turn in range(times):
        for row in rows_of(worker.rank, turn, len(A)):
            with A.locked(row):
                A[row] += 1
        worker.barrier()


def _sent(world: Any) -> Sent:
    return world.messages.copy(), world.bytes.copy()


def _served(team: pydsm.Team) -> Sent:
    """Return what all servers have sent so far."""
    crew: Any = team._crew
    told: list[Any] = []
    crew._server.ask_all(crew._number, "count", (), told.append)
    crew._server.serve(lambda: bool(told))
    return _total(told[0])


def _total(each: list[Any]) -> Sent:
    messages: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for one, other in each:
        messages.update(one)
        size.update(other)
    return messages, size


def _less(one: Sent, other: Sent) -> Sent:
    return tuple(Counter({kind: a[kind] - b[kind] for kind in a | b}) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def measured(team: pydsm.Team, what: str, times: int, folder: str) -> tuple[Sent, int]:
    """Return what all ranks send in a run in which an operation is done so many times, and its round trips."""
    before = _served(team)
    results = team.run(act, what, times, folder)
    served = _less(_served(team), before)
    return _total([served, *(_less(after, start) for start, after, _ in results)]), max(n for *_, n in results)


def of_operation(team: pydsm.Team, what: str, folder: str) -> dict[str, Any]:
    measured(team, what, 1, folder)  # what is sent only once
    once, _ = measured(team, what, 1, folder)
    more, rounds = measured(team, what, 1 + TIMES, folder)
    messages, size = _less(more, once)
    kinds = sorted(kind for kind, count in messages.items() if count and kind != "report")
    return {
        "messages": {kind: messages[kind] / TIMES for kind in kinds},
        "bytes": {kind: size[kind] / TIMES for kind in kinds},
        "rounds": rounds,
    }


def of_run(team: pydsm.Team, folder: str) -> dict[str, Any]:
    """Return what the start and the end of a run take, a barrier in it not counted."""
    whole = []
    for _ in range(3):
        before = _served(team)
        whole.append((before, team.run(act, "nothing", 0, folder)))
    served = _less(whole[2][0], whole[1][0])
    between = [_less(later[0], sooner[1]) for later, sooner in zip(whole[2][1], whole[1][1], strict=True)]
    messages, size = _total([served, *between])
    meeting = 2 * of_operation(team, "barrier", folder)["messages"]["meet"]
    messages["answer"] -= meeting
    census = ("ask", "told")
    kinds = sorted(kind for kind, count in messages.items() if count and kind not in census)
    return {
        "messages": {kind: messages[kind] for kind in kinds},
        "bytes": {kind: size[kind] for kind in kinds},
        "rounds": 0,
    }


def of_program(team: pydsm.Team, folder: str) -> dict[str, Any]:
    """Return what a program of all workers takes, and how many times it has locked rows and met."""
    none, _ = measured(team, "program", 0, folder)
    many, _ = measured(team, "program", TURNS, folder)
    messages, size = _less(many, none)
    kinds = sorted(kind for kind, count in messages.items() if count and kind != "report")
    return {
        "messages": {kind: messages[kind] for kind in kinds},
        "bytes": {kind: size[kind] for kind in kinds},
        "rounds": 0,
    }


def _segments(team: pydsm.Team, name: str) -> dict[str, int]:
    """Return the bytes of what this node has of an array in shared memory."""
    from pydsm.mpi.replica import Replica

    space = team._namespace
    twin, versions = Replica.files(space, name)
    files = {
        "replicas": names.data_name(space.name, name),
        "twins": twin,
        "versions": versions,
        "locks": names.lock_name(space.name, name),
    }
    return {what: _size(file) for what, file in files.items()}


def _size(file: str) -> int:
    return os.stat(f"/dev/shm/{file}").st_size


@contextlib.contextmanager
def crowd() -> Iterator[pydsm.Team]:
    with pydsm.Team() as team:
        team.array("A", 64 * team.size, np.int64, stripes=16 * team.size)
        team.array("wide", (8 * team.size, WIDE // 8), np.int64, stripes=8 * team.size)
        for number in range(team.size):
            team.lock(f"lock{number}")
        yield team


def main(folder: str, *wanted: str) -> None:
    for pipe in ("a", "b"):
        os.mkfifo(f"{folder}/{pipe}")
    with crowd() as team:
        crew: Any = team._crew
        found: dict[str, Any] = {}
        for name in wanted:
            found[name] = of_run(team, folder) if name == "run" else of_operation(team, name, folder)
        found["program"] = of_program(team, folder)
        segments = {name: _segments(team, name) for name in ("A", "wide")}
        segments["A"]["numbers"] = _size(names.observe_name(team._namespace.name, "mpi"))
        print(json.dumps({"counts": crew._crew.counts, "found": found, "segments": segments}))


if __name__ == "__main__":
    main(*sys.argv[1:])
