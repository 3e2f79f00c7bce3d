"""Functions that traced workers run, under spawn too, and holds made by hand."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from typing import Any

import pydsm
from pydsm.core.events import Hold

ROWS = 8


def team(size: int, **options: Any) -> pydsm.Team:
    """Return a traced team with two arrays and a lock."""
    made = pydsm.Team(size, trace=options.pop("trace", True), **options)
    made.array("A", ROWS, int)
    made.array("B", (ROWS, 2), int)
    made.lock("L")
    return made


def everything(worker: pydsm.Worker, turns: int) -> int:
    """Do some of all that is traced."""
    A, B, L = worker["A"], worker["B"], worker["L"]
    for turn in range(turns):
        with A.locked(turn % ROWS):
            A[turn % ROWS] += 1
            with A.locked(turn % ROWS):  # again, inside itself
                pass
            with B.locked([0, 3, 5], shared=True):
                B[0].sum()
        with pydsm.locked((B, slice(0, 4)), (A, -1)), L:
            B[0] += 1
        A.fetch_add(2, 1)
        A.accumulate([1, 4, 1], 1)
        B.fence()
        worker.barrier()
    if worker.rank == 0:
        B.store_release((7, 1), 1)
    B.wait_until((7, 1), "==", 1)
    return int(worker.allreduce(1))


def expected_kinds(size: int, turns: int) -> dict[str, int]:
    """Return how many events of each kind `everything` makes in all workers; reductions are barriers too."""
    each = {"run": 1, "lock": 5 * turns, "fence": turns, "atomic": 2 * turns, "wait_until": 1}
    counted = {kind: count * size for kind, count in each.items()} | {"program": 1}
    return counted | {"atomic": counted["atomic"] + 1}  # one worker's store_release


def hold_two_apart(worker: pydsm.Worker) -> None:
    """Take two locks, give back first the one that was taken first, and take more in the other one."""
    A, L = worker["A"], worker["L"]
    L.acquire()
    with A.locked(worker.rank):
        L.release()
        with A.locked(2 + worker.rank), A.locked(4 + worker.rank):
            pass


def in_threads(worker: pydsm.Worker) -> None:
    """Let two threads contend for a named lock and a row."""
    both = threading.Barrier(2)

    def work() -> None:
        both.wait()  # one that has ended may leave its number to the next
        for _ in range(20):
            with worker["L"], worker["A"].locked(0):
                worker["A"][0] += 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def die_inside(worker: pydsm.Worker, victim: int) -> None:
    """Let one worker be killed while it holds a row that the other waits for, nested in another one."""
    A = worker["A"]
    if worker.rank == victim:
        with A.locked(1), A.locked(2):
            A.store_release(0, 1)
            A.wait_until(3, "==", 1)  # the other one has said that it will ask
            os.kill(os.getpid(), signal.SIGKILL)
    A.wait_until(0, "==", 1)
    A.store_release(3, 1)
    with A.locked(2, recover=True):
        pass


def fail_inside(worker: pydsm.Worker) -> None:
    """Raise inside a region, in worker 0; the others wait in a barrier that will break."""
    if worker.rank == 0:
        with worker["A"].locked(0):
            raise ValueError("on purpose")
    worker.barrier()


def give_up(worker: pydsm.Worker) -> None:
    """Ask for a row that another worker holds until it is told that one has given up."""
    A = worker["A"]
    if worker.rank == 0:
        with A.locked(5):
            A.store_release(0, 1)
            A.wait_until(1, "==", 1)
    else:
        A.wait_until(0, "==", 1)
        try:
            with A.locked(5, timeout=0.02):
                pass
        except pydsm.LockTimeoutError:
            A.store_release(1, 1)


def give_way(worker: pydsm.Worker) -> None:
    """Hold rows until the other worker waits for one of them."""
    A, B = worker["A"], worker["B"]
    if worker.rank == 0:
        with A.locked(slice(2, 5)):
            B.store_release((0, 0), 1)
            while not A._table.waiting_for():
                os.sched_yield()
    else:
        B.wait_until((0, 0), "==", 1)
        with A.locked([4, 7]):
            pass


def many(worker: pydsm.Worker, regions: int) -> None:
    """Enter many small regions."""
    A = worker["A"]
    for turn in range(regions):
        with A.locked((turn + worker.rank) % ROWS):
            pass


def lock_row_0(worker: pydsm.Worker, name: str) -> None:
    """Enter one region of one array."""
    with worker[name].locked(0):
        pass


class MadeHold:
    """A hold of a named lock, made by hand; see `Hold`."""

    array = key = None
    shared = fence = recover = False
    rows = stripes = None

    def __init__(self, name: str, array_id: int, *, shared: bool = False) -> None:
        self.name, self.array_id, self.shared = name, array_id, shared


def holds(*names: str) -> tuple[Hold, ...]:
    """Return holds of named locks."""
    return tuple(MadeHold(name, ord(name)) for name in names)  # type: ignore[misc]


def kinds(events: Iterable[Any]) -> dict[str, int]:
    """Return how many events there are of each kind."""
    counted: dict[str, int] = {}
    for event in events:
        counted[event.kind] = counted.get(event.kind, 0) + 1
    return counted
