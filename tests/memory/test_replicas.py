"""Replicas hold what arrays can be, whoever maps them, and whatever becomes of the workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.core.events import observers
from pydsm.ipc import mapping
from pydsm.memory import replica
from pydsm.sync import watch
from tests.memory.wrong_programs import turns
from tests.programs import until

NewTeam = Callable[..., pydsm.Team]


@pytest.fixture(params=["release", "entry"])
def new_team(request: pytest.FixtureRequest) -> NewTeam:
    def make(size: int, **options: Any) -> pydsm.Team:
        return pydsm.Team(size, memory=request.param, **options)

    return make


# -- what elements can be ------------------------------------------------------------

DTYPES = [
    *("b1", "i1", "u2", "f2", "i4", "f8", "c8", "c16", ">i4", ">f8", "S3", "U2", "V5", "M8[s]"),
    [("x", "i1"), ("y", "f8")],
    np.dtype([("x", "i1"), ("y", "f8")], align=True),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_goes_from_worker_to_worker_bit_for_bit(new_team: NewTeam, dtype: Any) -> None:
    exact = np.dtype(dtype)
    content = np.frombuffer(np.random.default_rng(1).bytes(12 * exact.itemsize), np.uint8)
    if exact.kind in "bU":
        content = content % 2 if exact.kind == "b" else np.zeros_like(content)
    source = content.view(exact)

    def program(worker: pydsm.Worker) -> bytes:
        A = worker["A"]
        if worker.rank == 0:
            A.reshape(-1)[3:9] = source[3:9]
        worker.barrier()
        if worker.rank == 1:
            with A.locked(0) as row:
                row[:2] = source[:2]
        worker.barrier()
        return np.array(A).tobytes()

    with new_team(2) as team:
        A = team.array("A", (4, 3), dtype)
        before = np.array(A).reshape(-1)
        before[:2], before[3:9] = source[:2], source[3:9]
        assert team.run(program) == [before.tobytes()] * 2
        assert np.array(A).tobytes() == before.tobytes()


def test_neighbouring_bytes_written_at_the_same_time_are_both_kept(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        with A.locked(0, shared=True):
            A[worker.rank :: worker.size] = worker.rank + 1
        worker.barrier()
        return A.tolist()

    with new_team(3) as team:
        team.array("A", 9, np.uint8)
        assert team.run(program) == [[1, 2, 3] * 3] * 3


def test_strided_and_transposed_views_are_of_the_replica(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        A = worker["A"]
        down, across = A[::-2], A.T
        if worker.rank == 0:
            with down.locked(0):
                down[0] = 5
        else:
            with across.locked(1):
                across[1, 0] = 7
        worker.barrier()
        return [down[0].tolist(), across[1].tolist()]

    with new_team(2) as team:
        A = team.array("A", (4, 3), int)
        assert team.run(program) == [[[5, 5, 5], [7, 0, 0, 5]]] * 2
        assert A.tolist() == [[0, 7, 0], [0, 0, 0], [0, 0, 0], [5, 5, 5]]


def test_empty_arrays_have_nothing_to_move(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> tuple[int, ...]:
        A = worker["A"]
        with A.locked():
            A[:] = 1
        A.fence()
        worker.barrier()
        return A.shape

    with new_team(2) as team:
        team.array("A", (0, 3))
        team.array("B", (3, 0))
        assert team.run(program) == [(0, 3)] * 2


def test_a_file_gets_what_was_written_at_barriers_and_at_the_join(new_team: NewTeam, tmp_path: Any) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        A[worker.rank] = 1
        before = np.fromfile(tmp_path / "A", np.int64, 2).tolist()
        worker.barrier()
        at_home = np.fromfile(tmp_path / "A", np.int64, 2).tolist()
        worker.barrier()
        A[worker.rank] = 2
        return [*before, *at_home]

    with new_team(2) as team:
        A = team.array("A", 2, np.int64, file=tmp_path / "A")
        assert team.run(program) == [[0, 0, 1, 1]] * 2
        assert A.tolist() == [2, 2]


@pytest.mark.filterwarnings("ignore:huge pages were not granted")
def test_huge_pages_and_large_arrays_move_only_what_was_written(new_team: NewTeam) -> None:
    size = 3 << 18

    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        for turn in range(4):
            with A.locked(turn * 1000):
                A[turn * 1000] += worker.rank + 1
        A[worker.rank - 2] = 9
        worker.barrier()
        return [int(A.sum()), int(np.flatnonzero(A).sum())]

    with new_team(2) as team:
        A = team.array("A", size, int, huge=True)
        assert team.run(program) == [[30, 6000 + 2 * size - 3]] * 2
        assert A.sum() == 30


# -- pages -----------------------------------------------------------------------------


@pytest.mark.parametrize("itemsize", [1, 3, 8, 24])
@pytest.mark.parametrize("told", [True, False])
def test_comparing_own_pages_finds_what_comparing_everything_finds(
    itemsize: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_FEW", 0)
    if not told:
        monkeypatch.setattr(mapping, "_MAP", "/there/is/none")

    def program(worker: pydsm.Worker) -> bool:
        A, random, right = worker["A"], np.random.default_rng(3), True
        mine = observers()[0]._replicas[A._table.array_id]  # type: ignore[attr-defined]
        memory = A.reshape(-1).view(np.uint8)
        for _ in range(20):
            for place in random.integers(len(memory), size=3).tolist():
                memory[place : place + 5000 * (place % 3 == 0) + 1] ^= 1
            spans = [(1, 2000), (2500, len(A) - 1)]
            for where in (None, spans):
                found, expected = mine.changes(where), replica.changes(mine._replica, mine._twin, where)
                right &= found.positions.tolist() == expected.positions.tolist() and len(expected) > 0
                right &= found.values.tobytes() == expected.values.tobytes()
        return right

    with pydsm.Team(1, memory="release") as team:
        team.array("A", 65537, f"V{itemsize}")
        assert team.run(program) == [True]


def test_pages_that_nobody_writes_are_nobodys_own(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        for turn in range(3):
            if worker.rank == 0:
                A[turn * 100_000] = 1.0
            float(A.sum())
            worker.barrier()
        own = mapping.own_pages(A.__array_interface__["data"][0], A.nbytes)
        return -1 if own is None else int(own.sum())

    with new_team(2) as team:
        team.array("A", 1_000_000)
        assert team.run(program) == [3, 0]


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_write_that_changes_no_bit_is_none(new_team: NewTeam, size: int) -> None:
    """It makes a page the worker's own, which must not keep what is written to the home later."""

    def program(worker: pydsm.Worker) -> list[int]:
        A, seen = worker["A"], []
        for turn in range(3):
            if worker.rank == 0:
                A[:] = A.copy()
            worker.barrier()
            if worker.rank == 1:
                A[::7] = turn + 1
            worker.barrier()
            seen.append(int(A[7]))
        return seen

    with new_team(2) as team:
        A = team.array("A", size, int)
        assert team.run(program) == [[1, 2, 3]] * 2
        assert A[7] == 3


def test_a_thread_may_write_while_its_worker_is_in_a_barrier(new_team: NewTeam) -> None:
    """Its page becomes the worker's own when the twin's is not kept any more, if there was nobody to write it."""

    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            A[100_001] = 7
            turns.wait(1)
            worker.barrier()
        else:
            arrived, observer = threading.Event(), observers()[0]
            honest = observer.arriving
            observer.arriving = lambda: (honest(), arrived.set())  # type: ignore[assignment, func-returns-value]

            def write() -> None:
                arrived.wait()
                A[100_000] = 5
                turns.step()

            thread = threading.Thread(target=write)
            thread.start()
            worker.barrier()
            thread.join()
        seen = A[100_000:100_002].tolist()
        worker.barrier()
        return [*seen, *A[100_000:100_002].tolist()]

    turns.reset()
    with new_team(2) as team:
        A = team.array("A", 200_000, int)
        assert team.run(program) == [[5, 7, 5, 7], [0, 7, 5, 7]]
        assert A[100_000:100_002].tolist() == [5, 7]


# -- who maps what ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 100_000])
def test_two_mappings_in_one_process_are_one_replica(new_team: NewTeam, size: int) -> None:
    with new_team(2) as team:
        A = team.array("A", size, int)
        attached = [pydsm.attach(f"{team.namespace}/A", readonly=True)]

        def program(worker: pydsm.Worker) -> list[list[int]]:
            same = attached[0]
            A[-worker.rank] = 5  # on different pages, if there are some
            mine = same[[0, -1]].tolist()
            worker.barrier()
            with pytest.raises(ValueError, match="read-only"):
                same[0] = 1
            return [mine, same[[0, -1]].tolist(), worker["A"][[0, -1]].tolist()]

        assert team.run(program) == [[[5, 0], [5, 5], [5, 5]], [[0, 5], [5, 5], [5, 5]]]
        assert attached.pop()[[0, -1]].tolist() == A[[0, -1]].tolist() == [5, 5]


def test_a_guarded_array_is_a_replica_too(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        with A.locked(worker.rank) as row:
            row[...] = 3
        worker.barrier()
        return A.tolist()

    with new_team(2) as team:
        A = team.array("A", 2, int, access="guarded")
        assert team.run(program) == [[3, 3]] * 2
        assert A.tolist() == [3, 3]


def _spawned(worker: pydsm.Worker, view: Any, rounds: int) -> list[int]:
    A = worker["A"]
    for _ in range(rounds):
        with view.locked(0):
            view[0] += 1
    A[3 + worker.rank] = worker.rank + 1
    return [int(A[1]) >= rounds, view.base is not None]


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_handles_in_arguments_are_of_the_replica_however_workers_start(new_team: NewTeam, start: Any) -> None:
    with new_team(2, start=start) as team:
        A = team.array("A", 5, int)
        assert team.run(_spawned, A[1:3], 20) == [[True, True]] * 2
        assert A.tolist() == [0, 40, 0, 1, 2]


def test_an_array_made_in_a_worker_reaches_who_attaches_it_late(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> Any:
        done = worker["done"]
        if worker.rank == 0:
            B = pydsm.create("B", 4, int)
            B[1] = 11
            done.store_release(0, 1)
            done.wait_until(0, "==", 2)
            return B.tolist()
        if worker.rank == 1:
            done.wait_until(0, "==", 1)
            B = worker["B"]  # attached after its writes were seen to be due
            before = B.tolist()
            with B.locked(2):
                B[2] = 22
            done.store_release(0, 2)
            return before
        worker.resources.clear()
        return None

    with new_team(2) as team:
        team.array("done", 1, int)
        assert team.run(program) == [[0, 11, 22, 0], [0, 11, 0, 0]]
        assert team["B"].tolist() == [0, 11, 22, 0]
        team.delete("B")


def test_an_array_that_only_some_have_mapped_comes_home_at_a_barrier(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        for turn in range(6):
            if worker.rank == turn % 3:
                worker[f"B{turn}"] if turn else pydsm.create("C", 3, int)
                pydsm.attach("C")[turn % 3] += 1
            worker.barrier()
        return worker["C"].tolist()

    with new_team(3) as team:
        for turn in range(6):
            team.array(f"B{turn}", 1)
        assert team.run(program) == [[2, 2, 2]] * 3
        assert team["C"].tolist() == [2, 2, 2]
        team.delete("C")


def test_an_array_removed_before_the_run_is_left_alone(new_team: NewTeam) -> None:
    with new_team(1) as team:
        A = team.array("A", 2, int)
        team.delete("A")
        team.array("A", 2, int)

        def program(worker: pydsm.Worker) -> list[list[int]]:
            A[0], worker["A"][1] = 1, 2
            return [A.tolist(), worker["A"].tolist()]

        assert team.run(program) == [[[1, 0], [0, 2]]]
        assert team["A"].tolist() == [0, 2]


def test_another_team_and_runs_one_after_the_other_begin_anew(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        for _ in range(3):
            worker.barrier()
        with A.locked(0):
            A[0] += 1
        return int(A[1])

    with new_team(2) as team, new_team(2) as other:
        A, B = team.array("A", 2, int), other.array("A", 2, int)
        for run in range(4):
            A[1], B[1] = run, -run
            assert team.run(program) == [run, run]
            assert other.run(program) == [-run, -run]
        assert (A[0], B[0]) == (8, 8)


# -- synchronisation ------------------------------------------------------------------------


def test_named_locks_publish_every_array(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, B, lock, stale = worker["A"], worker["B"], worker["L"], 0
        for _ in range(50):
            with lock:
                stale += int(A[0] != B[2])
                A[0] += 1
                B[2] += 1
        return stale

    with new_team(2) as team:
        A, B = team.array("A", 1, int), team.array("B", 3, int)
        team.lock("L")
        assert team.run(program) == [0, 0]
        assert (A[0], B[2]) == (100, 100)


def test_a_fenced_region_publishes_every_array(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, B, stale = worker["A"], worker["B"], 0
        for _ in range(50):
            with A.locked(0, fence=True):
                stale += int(A[0] != B[2])
                A[0] += 1
                B[2] += 1
        return stale

    with new_team(2) as team:
        A, B = team.array("A", 1, int), team.array("B", 3, int)
        assert team.run(program) == [0, 0]
        assert (A[0], B[2]) == (100, 100)


def test_who_comes_exclusively_sees_what_each_sharer_wrote(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A, count = worker["A"], worker["count"]
        with A.locked(None, shared=True):
            A[worker.rank] = worker.rank + 1
        count.fetch_add(0, 1)
        if worker.rank == 0:
            count.wait_until(0, "==", worker.size)
            with A.locked():
                return A.tolist()
        return []

    with new_team(3) as team:
        team.array("A", 3, int)
        team.array("count", 1, int)
        assert team.run(program)[0] == [1, 2, 3]


def test_every_atomic_operation_sees_the_latest_element(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(40):
            A.fetch_add(0, 1)
            A.fetch_max(1, 2 * turn + worker.rank)
            A.fetch_min(2, -2 * turn - worker.rank)
            A.fetch_or(3, 1 << (2 * (turn % 20) + worker.rank))
            A.fetch_xor(4, 1)
            old = A.load_acquire(5)
            while not A.compare_and_swap(5, old, old + 3):
                old = A.load_acquire(5)
            A.swap(6, turn)
            A.store_release(7, turn)
            A.accumulate([8, 9, 8], 1)
            A.accumulate(slice(8, 10), 2)
        A.fetch_and(10, 0xFF << 8 * worker.rank)

    with new_team(2) as team:
        A = team.array("A", 11, int)
        A[10] = -1
        team.run(program)
        assert A.tolist() == [80, 79, -79, (1 << 40) - 1, 0, 240, 39, 39, 320, 240, 0]


def test_an_atomic_operation_that_changes_nothing_publishes_all_the_same(new_team: NewTeam) -> None:
    """It leaves the element as it was; who sees it afterwards sees what came before it."""

    def program(worker: pydsm.Worker) -> int:
        data, flag, turn = worker["data"], worker["flag"], worker["turn"]
        if worker.rank == 0:
            data[0] = 8
            flag.fetch_add(0, 0)
            pipe_in.write(b"x")
            pipe_in.flush()
            return 0
        pipe_out.read(1)
        assert turn[0] == 0
        flag.load_acquire(0)
        return int(data[0])

    read, write = os.pipe()
    with new_team(2) as team, open(read, "rb") as pipe_out, open(write, "wb") as pipe_in:
        for name in ("data", "flag", "turn"):
            team.array(name, 1, int)
        assert team.run(program) == [0, 8]


@pytest.mark.parametrize("how", ["region", "fence", "end"])
def test_wait_until_sees_what_regions_fences_and_ends_publish(new_team: NewTeam, how: str) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        if worker.rank == 1:
            return int(A.wait_until(1, ">=", 1, timeout=20))
        if how == "region":
            with A.locked(1):
                A[1] = 1
        else:
            A[1] = 1
            if how == "fence":
                A.fence()
        return 0

    with new_team(2) as team:
        team.array("A", 2, int)
        assert team.run(program) == [0, 1]


@pytest.mark.parametrize("how", ["atomic", "many", "region"])
def test_who_waits_is_woken_when_it_can_be_seen(new_team: NewTeam, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(100):
            A.wait_until((0, 1), "==", 2 * turn + worker.rank)
            if how == "atomic":
                A.fetch_add((0, 1), 1)
            elif how == "many":
                A.accumulate(0, 1)
            else:
                with A.locked(0) as row:
                    row += 1

    monkeypatch.setattr(watch, "_FIRST_PARK", 300.0)  # who is not woken sleeps until the test's time is over
    monkeypatch.setattr(watch, "_LAST_PARK", 300.0)
    with new_team(2) as team:
        A = team.array("A", (1, 2), int)
        team.run(program)
        assert A[0, 1] == 200


def test_a_region_sees_atomic_operations_on_its_rows(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A = worker["A"]
        if worker.rank == 0:
            A.store_release(1, 1)
            return True
        until(lambda: _read(A))
        return True

    def _read(A: Any) -> bool:
        with A.locked(slice(0, 2)) as rows:
            return bool(rows[1] == 1)

    with new_team(2) as team:
        team.array("A", 3, int)
        assert team.run(program) == [True, True]


def test_reductions_are_barriers(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[float]:
        A = worker["A"]
        A[worker.rank] = worker.rank + 1
        return [worker.allreduce(float(A[worker.rank])), *A.tolist()]

    with new_team(3) as team:
        team.array("A", 3)
        assert team.run(program) == [[6, 1, 2, 3]] * 3


def test_undo_puts_a_replica_back_and_publishes_nothing(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        for _ in range(10):
            with A.locked(0):
                A[0] += 1
            with pytest.raises(ZeroDivisionError), A.locked(0, undo=True):
                A[0] = -99
                raise ZeroDivisionError
        worker.barrier()
        return A.tolist()

    with new_team(2) as team:
        A = team.array("A", 1, int)
        assert team.run(program) == [[20], [20]]
        assert A[0] == 20


# -- threads ----------------------------------------------------------------------------------


def test_threads_of_a_worker_share_its_replica(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]

        def count(row: int) -> None:
            for _ in range(40):
                with A.locked(0):
                    A[0] += 1
                A[row] += 1

        threads = [threading.Thread(target=count, args=(1 + 2 * worker.rank + k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return int(A[1 + 2 * worker.rank])

    with new_team(2) as team:
        A = team.array("A", 5, int)
        assert team.run(program) == [40, 40]
        assert A.tolist() == [160, 40, 40, 40, 40]


def test_a_thread_that_publishes_while_its_worker_leaves_barriers_loses_nothing(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A, leave = worker["A"], threading.Event()

        def count() -> None:
            while not leave.is_set():
                with A.locked(0):
                    A[0] += 1
                A.fetch_add(3, 1)
                counted.append(1)

        counted: list[int] = []
        thread = threading.Thread(target=count)
        thread.start()
        for _ in range(60):
            A[1 + worker.rank] += 1
            worker.barrier()
            assert A[2 - worker.rank] >= A[1 + worker.rank] - 1
            worker.barrier()
        leave.set()
        thread.join()
        return [len(counted)]

    with new_team(2) as team:
        A = team.array("A", 4, int)
        counts = sum(count for [count] in team.run(program))
        assert A.tolist() == [counts, 60, 60, counts]


# -- deaths -----------------------------------------------------------------------------------


def test_what_a_killed_worker_had_not_published_is_never_seen(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked(1):
                A[1] = 11
            A[2] = 22
            with A.locked(0):
                A[0] = 99
                os.kill(os.getpid(), signal.SIGKILL)
        with pytest.raises(pydsm.OwnerDiedError):
            until(lambda: _enters(A))
        with A.locked(0, recover=True):
            seen = A.tolist()
            A[0] = 1
        worker.barrier()
        return [*seen, *A.tolist()]

    def _enters(A: Any) -> bool:
        with A.locked(0, timeout=5):
            return False

    with new_team(3, on_death="continue") as team:
        A = team.array("A", 3, int)
        first = team.run(lambda worker: program(worker) if worker.rank < 2 else worker.barrier())
        assert isinstance(first[1], pydsm.WorkerDiedError)
        assert first[0] == [0, 0, 0, 1, 11, 0]
        assert A.tolist() == [1, 11, 0]


def test_a_death_in_an_update_with_undo_changes_nobodys_rows(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        A = worker["A"]
        if worker.rank == 1:
            with A.locked(0):
                A[0] = 10
            with A.locked(0, undo=True):
                A[0] = 99
                os.kill(os.getpid(), signal.SIGKILL)
        A[1] = 5
        until(lambda: _recovers(A))
        return A.tolist()

    def _recovers(A: Any) -> bool:
        with A.locked(0, recover=True) as row:
            return bool(row == 10)

    with new_team(2, on_death="continue") as team:
        A = team.array("A", 2, int)
        assert team.run(program)[0] == [10, 5]
        assert A.tolist() == [10, 5]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_while_writes_are_brought_home_is_made_good_by_the_next(new_team: NewTeam, when: str) -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        A, observer, seen = worker["A"], observers()[0], []
        log, honest = observer._log, observer.met  # type: ignore[attr-defined]
        close = log.close_epoch

        def die() -> None:
            if when == "after":
                close()
            turns.step()
            os.kill(os.getpid(), signal.SIGKILL)

        if worker.rank == 0:
            log.close_epoch = die
        else:
            observer.met = lambda: (turns.wait(1), honest())  # type: ignore[assignment, func-returns-value]
        for turn in range(1, 4):
            A[worker.rank] = turn
            worker.barrier()
            seen.append(A.tolist())
            worker.barrier()
        return seen

    turns.reset()
    with new_team(3, on_death="continue") as team:
        A = team.array("A", 3, int)
        first, *others = team.run(program)
        assert isinstance(first, pydsm.WorkerDiedError)
        assert others == [[[1, 1, 1], [1, 2, 2], [1, 3, 3]]] * 2
        assert A.tolist() == [1, 3, 3]


def test_a_team_for_a_group_has_a_log_for_the_group(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["A"].locked(0):
            worker["A"][0] += 1

    with new_team(2, mode=0o660) as team:
        A = team.array("A", 1, int)
        team.run(program)
        assert A[0] == 2
        modes = {
            os.stat(f"/dev/shm/{name}").st_mode & 0o777 for name in os.listdir("/dev/shm") if team.namespace in name
        }
        assert modes == {0o660}


def test_a_failed_worker_s_writes_come_home(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> None:
        worker["A"][worker.rank] = 4
        worker.barrier()
        worker["A"][worker.rank] = 5
        if worker.rank == 1:
            raise ZeroDivisionError
        worker.barrier()

    with new_team(2) as team:
        A = team.array("A", 2, int)
        with pytest.raises(pydsm.WorkerError):
            team.run(program)
        assert A[1] == 5
        assert A[0] in (4, 5)
        assert team.run(lambda worker: worker["A"].tolist())[0][1] == 5


def test_a_child_of_a_dead_worker_keeps_no_lock(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, log = worker["A"], observers()[0]._log  # type: ignore[attr-defined]
        if worker.rank == 1:
            log.__enter__()
            if os.fork() == 0:
                os.close(write)
                os.read(read, 1)  # until the test is over
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        with A.locked(0):
            A[0] += 1
        worker.barrier()
        return int(A[0])

    read, write = os.pipe()
    try:
        with new_team(2, on_death="continue") as team:
            team.array("A", 1, int)
            assert team.run(program)[0] == 1
    finally:
        os.close(read)
        os.close(write)
