from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pydsm
from tests import programs
from tests.effort import LONG

STARTS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("start", STARTS)
def test_results_come_in_rank_order(start: str) -> None:
    with pydsm.Team(3, start=start) as team:
        for _ in range(2):
            assert team.run(programs.rank_and_size) == [(0, 3), (1, 3), (2, 3)]


def test_closures_and_large_results_work_under_fork() -> None:
    offset = 5
    with pydsm.Team(2) as team:
        results = team.run(lambda worker: np.full(1_000_000, worker.rank + offset))
    assert [int(result[-1]) for result in results] == [5, 6]


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_closure_is_refused_with_a_sentence_elsewhere(start: str) -> None:
    with pydsm.Team(2, start=start) as team, pytest.raises(TypeError, match="top of a module, or use start='fork'"):
        team.run(lambda worker: None)


def test_an_error_of_a_worker_has_rank_cause_and_traceback() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 1:
            raise LookupError("no such thing")
        worker.barrier()

    with pydsm.Team(3) as team:
        with pytest.raises(pydsm.WorkerError, match="worker 1 raised LookupError: no such thing") as caught:
            team.run(program)
        assert caught.value.rank == 1
        assert isinstance(caught.value.__cause__, LookupError)
        assert 'raise LookupError("no such thing")' in caught.value.remote_traceback
        assert "pydsm/team.py" not in caught.value.remote_traceback
        assert team.run(programs.rank_and_size)[2] == (2, 3)  # the team goes on


def test_an_error_that_does_not_pickle_still_arrives_as_text() -> None:
    class Local(Exception):
        pass

    def program(worker: pydsm.Worker) -> None:
        raise Local("only here")

    with pydsm.Team(1) as team, pytest.raises(pydsm.WorkerError, match="only here") as caught:
        team.run(program)
    assert caught.value.__cause__ is None


def test_a_result_that_does_not_pickle_is_an_error_of_its_worker() -> None:
    with pydsm.Team(2) as team, pytest.raises(pydsm.WorkerError, match="worker"):
        team.run(lambda worker: threading.Lock())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR2, signal.SIGTERM])
def test_a_killed_worker_is_named_with_its_signal(number: signal.Signals) -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        worker.barrier()

    with pydsm.Team(2) as team:
        with pytest.raises(pydsm.WorkerDiedError, match=f"worker 1 was killed by {number.name}") as caught:
            team.run(program)
        assert caught.value.exitcode == -number


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_without_returning_is_a_death_whatever_the_exit_code(code: int) -> None:
    with pydsm.Team(2) as team, pytest.raises(pydsm.WorkerDiedError, match=f"exit code {code} before it returned"):
        team.run(lambda worker: os._exit(code))


def test_sys_exit_without_an_error_is_a_return() -> None:
    with pydsm.Team(2) as team:
        assert team.run(lambda worker: sys.exit()) == [None, None]
        with pytest.raises(pydsm.WorkerError, match="SystemExit: 3"):
            team.run(lambda worker: sys.exit(3))


def test_a_busy_worker_is_stopped_when_another_fails() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 0:
            raise ValueError("stop")
        while True:
            pass

    start = time.monotonic()
    with pydsm.Team(2) as team, pytest.raises(pydsm.WorkerError, match="ValueError: stop"):
        team.run(program)
    assert time.monotonic() - start < 20


def test_a_stopped_worker_leaves_its_with_and_finally_blocks() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 0:
            worker.barrier()
            raise ValueError("stop")
        with worker["A"].locked(1):
            try:
                worker.barrier()
                time.sleep(60)
            finally:
                worker["A"][0] = 7

    with pydsm.Team(2) as team:
        A = team.array("A", 2, int)
        with pytest.raises(pydsm.WorkerError, match="ValueError: stop"):
            team.run(program)
        assert A[0] == 7
        with A.locked(timeout=0):
            pass


def test_a_row_in_which_a_worker_was_killed_is_to_be_recovered() -> None:
    def die(worker: pydsm.Worker) -> None:
        with worker["A"].locked(worker.rank):
            worker.barrier()
            os.kill(os.getpid(), signal.SIGKILL)

    with pydsm.Team(2) as team:
        A = team.array("A", 2, int)
        with pytest.raises(pydsm.WorkerDiedError) as death:
            team.run(die)
        assert death.value.held == [f"row {death.value.rank} of array 'A'"]
        with pytest.raises(pydsm.OwnerDiedError) as caught, A.locked(timeout=0):
            pass
        assert caught.value.rank in (0, 1)
        with A.locked(recover=True, timeout=0):
            pass
        with A.locked(timeout=0):
            pass


def test_rows_of_an_array_that_only_a_killed_worker_knew_are_to_be_recovered() -> None:
    def die(worker: pydsm.Worker) -> None:
        pydsm.create("C", 2, int).locked(0).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    def use(worker: pydsm.Worker) -> bool:
        C = pydsm.attach("C")
        with pytest.raises(pydsm.OwnerDiedError), C.locked(0, timeout=0):
            pass
        with C.locked(0, recover=True, timeout=0):
            return True

    with pydsm.Team(1) as team:
        with pytest.raises(pydsm.WorkerDiedError):
            team.run(die)
        assert team.run(use) == [True]


def test_a_row_of_an_array_that_only_one_worker_knew_is_released_when_it_returns() -> None:
    def forget(worker: pydsm.Worker) -> None:
        pydsm.create("C", 2, int).locked(0).__enter__()

    def use(worker: pydsm.Worker) -> bool:
        with pydsm.attach("C").locked(0, timeout=5):
            return True

    with pydsm.Team(1) as team:
        with pytest.warns(RuntimeWarning, match="ended holding row 0 of array 'C'"):
            team.run(forget)
        assert team.run(use) == [True]


def test_a_team_runs_only_in_the_process_that_made_it() -> None:
    with pydsm.Team(1) as team, pytest.raises(pydsm.WorkerError, match="only in the process that made it"):
        team.run(lambda worker: team.run(programs.rank_and_size))


def test_workers_that_return_right_after_a_barrier_do_not_break_it() -> None:
    with pydsm.Team(4) as team:
        for _ in range(300 if LONG else 60):
            team.run(lambda worker: worker.barrier())


def test_what_a_worker_ends_holding_is_released_with_a_warning() -> None:
    def program(worker: pydsm.Worker) -> None:
        worker["L"].acquire()
        worker["A"].locked(worker.rank).__enter__()

    with pydsm.Team(2) as team:
        A, lock = team.array("A", 2), team.lock("L")
        with pytest.warns(RuntimeWarning, match="ended holding") as warned:
            team.run(program)
        assert len(warned) == 4
        assert lock.acquire(timeout=0)
        lock.release()
        with A.locked(timeout=0):
            pass


def test_a_barrier_that_a_returned_worker_cannot_reach_breaks() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank != 0:
            worker.barrier()

    with pydsm.Team(3) as team:
        with pytest.raises(pydsm.WorkerError, match="rank 0 returned without coming") as caught:
            team.run(program)
        assert isinstance(caught.value.__cause__, pydsm.BrokenBarrierError)
        assert isinstance(caught.value.__cause__, threading.BrokenBarrierError)


def test_a_barrier_and_a_lock_in_a_cycle_are_a_deadlock() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 0:
            with worker["A"].locked(0):
                worker["A"][1] = 1
                worker.barrier()
        else:
            while worker["A"][1] == 0:
                pass
            with worker["A"].locked(0):
                pass
            worker.barrier()

    with pydsm.Team(2) as team:
        team.array("A", 2, int)
        with pytest.raises(pydsm.WorkerError, match="waits at the barrier for rank 1") as caught:
            team.run(program)
        assert caught.value.rank == 1


def test_rows_that_the_parent_holds_during_a_run_are_a_deadlock() -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["A"].locked(0):
            pass

    with pydsm.Team(2) as team:
        A = team.array("A", 2, int)
        with A.locked(0), pytest.raises(pydsm.WorkerError, match="waits for the end of the run") as caught:
            team.run(program)
        assert isinstance(caught.value.__cause__, pydsm.DeadlockError)
        with A.locked(1):  # a row that nobody wants is no deadlock
            team.run(program)


def test_a_barrier_does_not_burn_cpu() -> None:
    def late(worker: pydsm.Worker) -> float:
        if worker.rank == 0:
            time.sleep(0.8)
        used = time.process_time()
        worker.barrier()
        return time.process_time() - used

    with pydsm.Team(2) as team:
        assert team.run(late)[1] < 0.4  # of 0.8 seconds; a spinning barrier burns them all


def test_random_numbers_are_reproducible_and_differ_between_workers() -> None:
    def program(worker: pydsm.Worker) -> tuple[float, list[int]]:
        return float(worker.random.random()), worker.shuffled(20).tolist()

    def runs(seed: int) -> list:
        with pydsm.Team(2, seed=seed) as team:
            return team.run(program) + team.run(program)

    first = runs(3)
    assert first == runs(3)
    assert first != runs(4)
    assert len({number for number, _ in first}) == 4
    assert first[0][1] == first[1][1] != first[2][1]  # the same shuffle for all, another one in the next run


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_splits_cover_everything_once_and_evenly(n: int) -> None:
    with pydsm.Team(3) as team:
        shares = team.run(lambda worker: worker.split(n))
    assert [i for share in shares for i in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_blas_threads_are_limited_in_workers() -> None:
    from threadpoolctl import threadpool_info

    def program(worker: pydsm.Worker) -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info()]

    before = [pool["num_threads"] for pool in threadpool_info()]
    with pydsm.Team(4) as team:
        for seen in team.run(program):
            assert max(seen, default=1) <= max(1, len(os.sched_getaffinity(0)) // 4)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_threads_of_a_worker_exclude_each_other() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]

        def count() -> None:
            for _ in range(2000):
                with A.locked(0):
                    A[0] = int(A[0]) + 1

        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with pydsm.Team(2) as team:
        A = team.array("A", 1, int)
        team.run(program)
        assert A[0] == 2 * 3 * 2000


def test_workers_can_make_and_attach_arrays_of_their_team() -> None:
    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 0:
            B = pydsm.create("B", 3, int)
            B[1] = 5
        worker.barrier()
        return int(pydsm.attach("B")[1])

    with pydsm.Team(2) as team:
        assert team.run(program) == [5, 5]
        assert team.run(lambda worker: int(worker["B"][1])) == [5, 5]
        assert team["B"][1] == 5
        assert pydsm.attach(f"{team.namespace}/B")[1] == 5
        team.delete("B")
        with pytest.raises(KeyError, match="no array or lock 'B'"):
            team["B"]


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (433, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_a_wrong_number_of_workers_is_refused(size: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="worker"):
        pydsm.Team(size)


@pytest.mark.parametrize("options", [{"start": "thread"}, {"memory": "weak"}, {"namespace": "a/b"}, {"namespace": ""}])
def test_wrong_options_list_the_right_ones(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"one of|must be"):
        pydsm.Team(1, **options)


def test_calls_that_need_a_worker_say_so_outside_of_one() -> None:
    with pydsm.Team(1) as team:
        for call in (team.barrier, lambda: team.split(3)):
            with pytest.raises(RuntimeError, match="needs a worker"):
                call()
        with pytest.raises(KeyError, match="which has nothing"):
            team["A"]
        with pytest.raises(TypeError, match="function first"):
            team.run(3)


def test_a_terminated_team_says_so() -> None:
    team = pydsm.Team(1)
    A = team.array("A", 3, int)
    team.terminate()
    team.terminate()
    A[0] = 5  # the memory lives as long as somebody has it
    assert A.sum() == 5
    with pytest.raises(RuntimeError, match="terminated"):
        team.array("B", 3)
    with pytest.raises(RuntimeError, match="terminated"):
        team.run(programs.rank_and_size)
    with pytest.raises(RuntimeError, match="terminated"), A.locked(0):
        pass


def test_terminating_under_a_waiting_thread_is_an_error_there_and_no_crash() -> None:
    team = pydsm.Team(1)
    A = team.array("A", 3, int)
    caught = []

    def wait() -> None:
        try:
            with A.locked(0):
                pass
        except RuntimeError as error:
            caught.append(str(error))

    with A.locked(0):
        thread = threading.Thread(target=wait)
        thread.start()
        while not A._table.waiting():
            time.sleep(0.001)
        time.sleep(0.05)
        team.terminate()
        thread.join(20)
    assert "terminated" in caught[0]


def test_a_forgotten_team_goes_with_its_last_reference() -> None:
    pydsm.Team(1).array("A", 3)  # the leak check after the test is the assertion


def test_two_namespaces_with_the_same_names_do_not_meet() -> None:
    with pydsm.Team(1) as one, pydsm.Team(1) as two:
        A, B = one.array("A", 2, int), two.array("A", 2, int)
        A[:] = 1
        assert B.sum() == 0
        with A.locked(0), B.locked(0):
            pass
        with pytest.raises(FileExistsError, match="living program"):
            pydsm.Team(1, namespace=one.namespace)


INTERRUPTED = """
import sys, time, pydsm
def busy(worker):
    if worker.rank == 0:
        print("ready", flush=True)
    {body}
try:
    with pydsm.Team(2, namespace=sys.argv[1]) as team:
        team.array("A", 10)
        team.run(busy)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    "body", ["time.sleep(60)", "worker.barrier() if worker.rank else time.sleep(60)", "while True: pass"]
)
def test_ctrl_c_ends_everything_and_leaves_nothing(body: str) -> None:
    from pydsm.core import names

    namespace = names.new_namespace()
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(body=body), namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does: to parent and workers
    out, err = program.communicate(timeout=20)
    assert (out, err, program.returncode) == ("interrupted\n", "", 0)
    assert not [file for file in os.listdir("/dev/shm") if namespace in file]


ORPHANED = """
import os, sys, time, pydsm
def busy(worker):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece
    while True:
        time.sleep(0.01)
if __name__ == "__main__":
    with pydsm.Team(2, start=sys.argv[1], namespace=sys.argv[2]) as team:
        team.run(busy)
"""


@pytest.mark.parametrize("start", STARTS)
def test_workers_do_not_outlive_a_killed_parent(start: str, tmp_path) -> None:
    from pydsm.core import names
    from pydsm.ipc import catalog

    path, namespace = tmp_path / "orphaned.py", names.new_namespace()
    path.write_text(ORPHANED)
    program = subprocess.Popen([sys.executable, str(path), start, namespace], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program.stdout:
        try:
            for _ in range(2):
                assert program.stdout.readline().strip().isdecimal()
        finally:
            program.kill()
            program.wait()
        program.stdout.read()  # ends when the last worker has
    deadline = time.monotonic() + 20
    while catalog.is_live(namespace) and time.monotonic() < deadline:
        time.sleep(0.01)
    catalog.reclaim(namespace)  # unless another program of ours was faster
    assert namespace not in catalog.namespaces()


def test_prints_of_workers_are_not_lost_or_doubled() -> None:
    program = """
import pydsm
print("before", end=" ")
def say(worker):
    print(f"from {worker.rank}\\n", end="")  # one write, even where output is unbuffered
with pydsm.Team(2) as team:
    team.run(say)
print("after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert sorted(done.stdout.split()) == ["0", "1", "after", "before", "from", "from"]
    assert done.stdout.count("before") == 1


def test_progress_shows_one_bar_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    def program(worker: pydsm.Worker) -> int:
        return sum(1 for _ in pydsm.track(range(50)))

    with pydsm.Team(2) as team:
        assert team.run(program, progress=True) == [50, 50]
    assert "100/100" in capsys.readouterr().err


def test_tracking_outside_of_a_worker_just_yields() -> None:
    assert list(pydsm.track(iter("abc"))) == ["a", "b", "c"]


def test_queues_of_multiprocessing_work_in_workers() -> None:
    import multiprocessing

    queue = multiprocessing.get_context("fork").Queue()
    queue.put("parent")
    assert queue.get(timeout=10) == "parent"

    def program(worker: pydsm.Worker) -> None:
        queue.put(worker.rank)

    with pydsm.Team(2) as team:
        team.run(program)
    assert sorted(queue.get(timeout=10) for _ in range(2)) == [0, 1]
    queue.close()
    queue.join_thread()
