"""Controlled schedules of real workers."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pydsm
from pydsm.control.board import Board, Word
from tests.effort import LONG

SEEDS = 100 if LONG else 10


def run(
    program: Callable[..., Any], schedule: int | str, size: int = 2, length: int = 8, **options: Any
) -> tuple[Any, str, list[int]]:
    """Run a program; return its results or its error, the schedule's digest, and what array A is then."""
    with pydsm.Team(size, schedule=schedule, **options) as team:
        A = team.array("A", length, int)
        team.lock("L")
        try:
            results: Any = team.run(program)
        except pydsm.WorkerError as error:
            results = str(error).split("\n", 1)[0]
        return results, team.schedule.digest, A.tolist()


# -- the same again --------------------------------------------------------------


def everything(worker: pydsm.Worker) -> Any:
    """Use whatever orders workers, and log who did what in which order."""
    A, L = worker["A"], worker["L"]
    order = []
    with A.locked(worker.rank), A.locked(4):
        order.append(A.fetch_add(0, 1))
    with L:
        order.append(A.fetch_add(0, 1))
    for part in worker.share(4, chunk=1):
        order.append((A.fetch_add(0, 1), part.start))
    total = worker.allreduce(A.fetch_add(0, 1))
    with pydsm.locked((A, 2), (A, 3)):
        A[2] = A[2] * 2 + worker.rank
    A.fence()
    if worker.rank == 0:
        A.store_release(6, 1)
    A.wait_until(6, "==", 1)
    worker.barrier()
    return order, total, int(A[2]), float(worker.random.random())


def test_the_same_seed_gives_the_same_steps_and_results_and_others_give_others() -> None:
    seen = {}
    for seed in range(SEEDS):
        seen[seed] = run(everything, seed, size=3)
        assert run(everything, seed, size=3) == seen[seed]
    assert len({digest for _, digest, _ in seen.values()}) == SEEDS


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_how_workers_are_started_makes_no_difference(start: str) -> None:
    assert run(everything, 3, start=start) == run(everything, 3)


def test_a_team_runs_again_with_another_order_and_the_same_next_time() -> None:
    def all_runs() -> list[Any]:
        with pydsm.Team(3, schedule=11) as team:
            A = team.array("A", 1, int)
            program = lambda worker: [A.fetch_add(0, 1) for _ in range(4)]  # noqa: E731
            return [(team.run(program), team.schedule.digest) for _ in range(4)]

    first = all_runs()
    assert all_runs() == first
    assert len({str(results) for results, _ in first}) > 1


def test_the_original_api_takes_a_schedule_too() -> None:
    def program(resource: dict[str, Any]) -> None:
        A = resource["A"]
        A[resource["id"]] = A.fetch_add(3, 1)

    found = set()
    for seed in range(12):
        with pydsm.Cluster(3, schedule=seed) as cluster:
            A = cluster.createShared("A", 4, int)
            cluster.runProcesses(program)
            found.add(tuple(A.tolist()))
    assert len(found) > 2


# -- all orders ------------------------------------------------------------------


def test_every_order_of_a_tiny_program_is_reached() -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        return [worker["A"].fetch_add(0, 1) for _ in range(2 + worker.rank)]

    reached = set()
    for seed in range(120):
        (_, second), _, _ = run(program, seed)
        reached.add(tuple(int(position in second) for position in range(5)))
        if len(reached) == 10:
            break
    assert reached == set(itertools.permutations((0, 0, 1, 1, 1)))


# -- bugs ------------------------------------------------------------------------


def opposed(worker: pydsm.Worker) -> None:
    A, mine = worker["A"], worker.rank
    with A.locked(mine), A.locked(1 - mine):
        A[mine] += 1


def lost_update(worker: pydsm.Worker) -> None:
    A = worker["A"]
    with A.locked(0):
        value = int(A[0])
    with A.locked(0):
        A[0] = value + 1


def test_two_locks_in_opposite_orders_are_found_to_deadlock_and_everybody_is_named() -> None:
    ends = [run(opposed, seed) for seed in range(20)]
    dead = [results for results, _, _ in ends if isinstance(results, str)]
    assert 0 < len(dead) < 20
    assert len(set(dead)) == 1
    assert dead[0] == (
        "worker 1 raised pydsm.DeadlockError: deadlock at exclusive region 0 of array 'A': "
        "rank 0 waits for exclusive region 1 of array 'A' and holds exclusive region 0 of array 'A'; "
        "rank 1 waits for exclusive region 0 of array 'A' and holds exclusive region 1 of array 'A'"
    )
    assert all(values[:2] == [1, 1] for results, _, values in ends if not isinstance(results, str))


def test_an_update_lost_between_two_regions_is_found() -> None:
    counts = {run(lost_update, seed)[2][0] for seed in range(20)}
    assert counts == {1, 2}


def test_who_catches_the_deadlock_and_gives_its_rows_back_lets_the_other_go_on() -> None:
    def program(worker: pydsm.Worker) -> str:
        A, mine = worker["A"], worker.rank
        with A.locked(mine):
            try:
                with A.locked(1 - mine):
                    return "both"
            except pydsm.DeadlockError:
                return "gave up"

    assert {tuple(run(program, seed)[0]) for seed in range(20)} == {("both", "both"), ("both", "gave up")}


def test_a_wait_for_an_element_that_nobody_will_change_is_a_deadlock() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 1:
            worker["A"].wait_until(0, "==", 1)

    told, _, _ = run(program, 0)
    assert told.endswith("rank 0 has ended; rank 1 waits for element 0 of array 'A' == 1")


def test_a_barrier_and_a_lock_are_a_deadlock_too() -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["L"]:
            worker.barrier()

    told, _, _ = run(program, 0)
    holder, other = (0, 1) if "rank 0 waits for the barrier" in told else (1, 0)
    assert f"rank {holder} waits for the barrier and holds lock 'L'" in told
    assert f"rank {other} waits for lock 'L'" in told
    assert f"worker {other} raised" in told  # as without a schedule: who waits for a lock gives up


def test_pct_finds_what_it_is_for_on_real_workers() -> None:
    found = {run(lost_update, f"seed={seed} strategy=pct depth=2 steps=12")[2][0] for seed in range(25)}
    assert found == {1, 2}


# -- waiting ---------------------------------------------------------------------


def test_a_timeout_is_over_when_nobody_else_can_move_and_not_before() -> None:
    def program(worker: pydsm.Worker) -> str:
        A = worker["A"]
        if worker.rank == 0:
            with A.locked(0):
                worker.barrier()
                A.wait_until(1, "==", 1)
            return "gave it back"
        worker.barrier()
        try:
            with A.locked(0, timeout=1e9):  # nobody lives that long
                return "had it"
        except pydsm.LockTimeoutError as error:
            A.store_release(1, 1)
            return str(error)

    for seed in range(10):
        (first, second), _, _ = run(program, seed)
        assert first == "gave it back"
        assert "was not had in time: row 0 held by rank 0" in second


def test_who_waits_with_a_timeout_has_it_if_it_comes() -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, L = worker["A"], worker["L"]
        for _ in range(3):
            with A.locked(0, timeout=1e-9):  # virtual time: nobody is ever too slow
                A[0] += 1
            assert L.acquire(timeout=1e-9)
            A[1] += 1
            L.release()
        A.fetch_add(2, 1)
        return A.wait_until(2, "==", worker.size, timeout=1e-9) == worker.size

    for seed in range(6):
        results, _, values = run(program, seed, size=3)
        assert results == [True] * 3
        assert values[:3] == [9, 9, 3]


def test_a_try_is_tried_once_and_sometimes_fails() -> None:
    def program(worker: pydsm.Worker) -> bool:
        try:
            with worker["A"].locked(0, timeout=0):
                return True
        except pydsm.LockTimeoutError:
            return False

    assert {tuple(run(program, seed)[0]) for seed in range(30)} == {(True, True), (True, False), (False, True)}


def test_an_element_that_times_out_says_so() -> None:
    def program(worker: pydsm.Worker) -> None:
        worker["A"].wait_until(0, ">", 0, timeout=1e9)

    assert "WaitTimeoutError" in run(program, 1)[0]


def test_a_worker_far_ahead_in_its_shares_waits_for_those_inside_an_old_one() -> None:
    def program(worker: pydsm.Worker) -> int:
        taken = 0
        for _ in range(40):
            for part in worker.share(4, chunk=1):
                taken += len(part)
                if worker.rank == 1:
                    break
        return taken

    for seed in range(4):
        results, digest, _ = run(program, seed)
        assert sum(results) <= 160
        assert run(program, seed)[:2] == (results, digest)


def test_what_a_thread_of_a_worker_does_is_no_step() -> None:
    def program(worker: pydsm.Worker) -> None:
        def work() -> None:
            for _ in range(10):
                worker["A"].fetch_add(0, 1)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    with pydsm.Team(2, schedule=1) as team:
        A = team.array("A", 1, int)
        team.run(program)
        assert (A[0], team.schedule.steps) == (20, 0)


def test_a_wait_for_what_a_thread_will_give_back_is_no_deadlock() -> None:
    """The thread has the row, and gives it back when it sees that the schedule waits for threads."""

    def program(worker: pydsm.Worker) -> str:
        A = worker["A"]
        if worker.rank == 1:
            worker.barrier()
            with A.locked(0):
                A.store_release(1, 1)
                return "had it"
        has_it, board = threading.Event(), Board.attach(worker._namespace.name)

        def hold() -> None:
            with A.locked(0):
                has_it.set()
                while board.words.load(Word.PATIENCE) < 3:
                    time.sleep(0.001)

        threading.Thread(target=hold, daemon=True).start()
        has_it.wait()
        worker.barrier()
        A.wait_until(1, "==", 1)
        return "gave it back"

    assert run(program, 5)[0] == ["gave it back", "had it"]


# -- failures and deaths ---------------------------------------------------------


def test_the_first_failure_ends_the_schedule_and_is_the_one_that_is_told() -> None:
    def program(worker: pydsm.Worker) -> None:
        order = worker["A"].fetch_add(0, 1)
        raise ValueError(f"failed as number {order}")

    told = set()
    for seed in range(8):
        end = run(program, seed, size=3)
        assert run(program, seed, size=3) == end
        told.add(end[0])
    assert {text.partition("raised ")[2] for text in told} <= {f"ValueError: failed as number {n}" for n in range(3)}
    assert len({text[:8] for text in told}) > 1  # not always the same worker


def test_workers_that_wait_for_their_turn_leave_their_blocks_when_another_fails() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        if worker.rank == 0:
            A.wait_until(1, "==", 1)
            raise ValueError("enough")
        try:
            A.fetch_add(1, 1)
            while True:
                A.fetch_add(3, 1)
        finally:
            A[2] = 1

    told, _, values = run(program, 2)
    assert told == "worker 0 raised ValueError: enough"
    assert values[2] == 1


def test_workers_that_wait_for_their_turn_leave_their_blocks_at_an_interrupt() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        try:
            with A.locked(worker.rank):
                A.fetch_add(3, 1)
                A.wait_until(3, "==", 3)  # so that all are inside
                if worker.rank == 0:
                    os.kill(os.getppid(), signal.SIGINT)
                while True:
                    A.fetch_add(4, 1)
        finally:
            A[worker.rank + 5] = 1

    with pydsm.Team(3, schedule=1) as team:
        A = team.array("A", 8, int)
        with pytest.raises(KeyboardInterrupt):
            team.run(program)
        assert A[5:].tolist() == [1, 1, 1]


def test_who_returns_early_breaks_the_barrier_for_the_others() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank != 1:
            worker.barrier()

    for seed in range(4):
        told, digest, _ = run(program, seed, size=3)
        assert "BrokenBarrierError: the barrier can never be complete: rank 1 returned without coming" in told
        assert run(program, seed, size=3)[:2] == (told, digest)


def dies(worker: pydsm.Worker) -> int:
    A = worker["A"]
    if worker.rank == 1:
        with A.locked(3):
            if A.fetch_add(0, 1) >= 0:
                os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(3):
        A.fetch_add(1, 1)
    worker.barrier()
    return int(A[1])


def test_a_death_that_ends_the_run_is_told_and_the_steps_before_it_are_the_same_again() -> None:
    for seed in range(4):
        told, digest, _ = run(dies, seed, size=3)
        assert "worker 1 was killed by SIGKILL before it returned, holding row 3 of array 'A'" in told
        assert run(dies, seed, size=3)[1] == digest


def test_survivors_go_on_after_the_death_of_who_had_the_turn() -> None:
    for seed in range(4):
        results, digest, _ = run(dies, seed, size=3, on_death="continue")
        assert isinstance(results[1], pydsm.WorkerDiedError)
        assert (results[0], results[2]) == (6, 6)
        assert run(dies, seed, size=3, on_death="continue")[1] == digest


def test_survivors_go_on_after_the_death_of_one_that_waits() -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        A.store_release(worker.rank + 4, os.getpid())
        if worker.rank == 0:
            A.wait_until(5, "!=", 0)
            os.kill(int(A[5]), signal.SIGKILL)
        elif worker.rank == 1:
            A.wait_until(0, "==", 1)  # never
        for _ in range(5):
            A.fetch_add(1, 1)
        worker.barrier()
        return int(A[1])

    for seed in range(4):
        results, _, _ = run(program, seed, size=3, on_death="continue")
        assert isinstance(results[1], pydsm.WorkerDiedError)
        assert (results[0], results[2]) == (10, 10)


def test_what_a_worker_returns_holding_is_given_back_before_others_go_on() -> None:
    def program(worker: pydsm.Worker) -> bool:
        return bool(worker["L"].acquire())

    for seed in range(4):
        with pytest.warns(RuntimeWarning, match="ended holding lock 'L'"):
            assert run(program, seed)[0] == [True, True]


def test_a_child_that_a_worker_forks_is_not_scheduled() -> None:
    def program(worker: pydsm.Worker) -> int:
        child = os.fork()
        if child == 0:
            worker["A"].fetch_add(0, 1)
            os._exit(0)
        os.waitpid(child, 0)
        return int(worker["A"].fetch_add(1, 1))

    results, _, values = run(program, 1)
    assert sorted(results) == [0, 1]
    assert values[:2] == [2, 2]
