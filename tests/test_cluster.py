"""Programs for the original API run unchanged: the names, the calls, the answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pydsm
from tests import programs


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_the_original_readme_example(start: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pydsm.Cluster(4, start=start) as cluster:
        A = cluster.createShared(name="A", shape=10, dataType=int)
        B = cluster.createShared("B", 10, int)
        C = cluster.createShared("C", 10, int)
        A[:] = np.arange(10)
        B[:] = np.arange(10)
        B += 1
        cluster.runProcesses(programs.add, paras=(10,))
        assert np.array(C).tolist() == list(range(1, 20, 2))
    if start != "forkserver":  # whose workers print where the fork server was started
        assert "[ 1  3  5  7  9 11 13 15 17 19]" in capfd.readouterr().out


def test_resources_are_a_dict_of_everything_by_name() -> None:
    def program(res, extra):
        assert type(res["id"]) is int
        assert res["A"] is not None
        assert pydsm.Cluster.getShared("A").name == "A"
        res["A"][res["id"]] = extra + res["id"]
        res["extra"] = 1  # a worker's own dict

    with pydsm.Cluster(3) as cluster:
        A = cluster.createShared("A", 3)
        assert A.dtype == int
        cluster.createLock("L")
        cluster.runProcesses(program, (7,))
        assert A.tolist() == [7, 8, 9]
        assert set(cluster.resources) == {"id", "A", "L"}
        assert cluster.resources["id"] == -1
        assert cluster.sharedList == ["A"]
        assert cluster.numThread == 3
        assert cluster.runProcesses(program, paras=(1,)) is None


@pytest.mark.parametrize("acquire", ["acquire", "apply", "with"])
@pytest.mark.parametrize("create", ["createLock", "createdLock"])
def test_locks_under_both_spellings(acquire: str, create: str) -> None:
    def program(res, turns):
        lock, counter = res["foo_lock"], res["counter"]
        for _ in range(turns):
            if acquire == "with":
                with lock:
                    counter[0] = int(counter[0]) + 1
            else:
                getattr(lock, acquire)()
                counter[0] = int(counter[0]) + 1
                lock.release()

    with pydsm.Cluster(4) as cluster:
        counter = cluster.createShared("counter", 1, int)
        getattr(cluster, create)("foo_lock")
        cluster.runProcesses(program, paras=(2000,))
        assert counter[0] == 8000


@pytest.mark.parametrize("length", [0, 1, 3, 10, 101])
@pytest.mark.parametrize("random", [True, False])
def test_split_indices_covers_all_once_and_evenly(length: int, random: bool) -> None:
    def program(res):
        mine = pydsm.Cluster.splitIndices(length, res["id"], random=random)
        assert type(mine) is list
        assert all(type(i) is int for i in mine)
        res["seen"][mine] += 1
        res["count"][res["id"]] = len(mine)
        res["order"][res["id"]] = -1 if not mine else mine[0]

    with pydsm.Cluster(4, seed=5) as cluster:
        seen = cluster.createShared("seen", max(1, length), int)
        count = cluster.createShared("count", 4, int)
        order = cluster.createShared("order", 4, int)
        cluster.runProcesses(program)
        assert seen[:length].tolist() == [1] * length
        assert count.max() - count.min() <= 1
        if not random and length:
            firsts = [first for first in order.tolist() if first >= 0]
            assert firsts == sorted(firsts)


def test_split_indices_is_shuffled_anew_and_reproducible() -> None:
    def program(res):
        for turn in range(2):
            mine = pydsm.Cluster.splitIndices(12, res["id"])
            res["order"][turn, 4 * res["id"] : 4 * res["id"] + 4] = mine

    def orders(seed: int) -> list[list[int]]:
        with pydsm.Cluster(3, seed=seed) as cluster:
            order = cluster.createShared("order", (2, 12), int)
            cluster.runProcesses(program)
            return order.tolist()

    first, second = orders(1)
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert orders(1) == [first, second] != orders(2)


def test_split_indices_follows_numpys_seed_as_the_original_did() -> None:
    def program(res):
        mine = pydsm.Cluster.splitIndices(12, res["id"])
        res["order"][6 * res["id"] : 6 * res["id"] + 6] = mine

    def order(seed: int) -> list[int]:
        with pydsm.Cluster(2) as cluster:
            order = cluster.createShared("order", 12, int)
            np.random.seed(seed)
            cluster.runProcesses(program)
            return order.tolist()

    assert order(0) == order(0) != order(1)


def test_names_may_be_spelt_as_shared_array_wants_them() -> None:
    with pydsm.Cluster(1) as cluster:
        A = cluster.createShared("shm://A", 3)
        assert pydsm.Cluster.getShared("shm://A") is A
        cluster.runProcesses(lambda res: pydsm.Cluster.getShared("shm://A").__setitem__(1, 7))
        assert A[1] == 7


def test_get_shared_works_in_the_parent_too() -> None:
    with pydsm.Cluster(1) as cluster:
        A = cluster.createShared("A", 3)
        assert pydsm.Cluster.getShared("A") is A
        with pytest.raises(KeyError, match="there is 'A'"):
            pydsm.Cluster.getShared("B")
    with pytest.raises(KeyError, match="there is none"):
        pydsm.Cluster.getShared("A")


def test_a_wrong_name_in_a_worker_lists_the_right_ones() -> None:
    with pydsm.Cluster(1) as cluster:
        cluster.createShared("A", 3)
        for call in (lambda res: res["B"], lambda res: pydsm.Cluster.getShared("B")):
            with pytest.raises(pydsm.WorkerError, match=r"'B'.*'A'") as caught:
                cluster.runProcesses(call)
            assert isinstance(caught.value.__cause__, KeyError)
            assert 'pydsm/cluster.py", line' not in caught.value.remote_traceback.split("B")[0]


@pytest.mark.parametrize("create", ["createShared", "createLock"])
@pytest.mark.parametrize(("name", "word"), [("A", "taken"), ("L", "taken"), ("id", "reserved")])
def test_a_duplicate_or_reserved_name_is_a_key_error_with_a_sentence(create: str, name: str, word: str) -> None:
    with pydsm.Cluster(1) as cluster:
        cluster.createShared("A", 3)
        cluster.createLock("L")
        arguments = (name, 3) if create == "createShared" else (name,)
        with pytest.raises(KeyError, match=f"name '{name}' is {word}"):
            getattr(cluster, create)(*arguments)
        assert cluster.sharedList == ["A"]


def test_calls_of_a_worker_say_so_outside() -> None:
    with pydsm.Cluster(1):
        for call in (pydsm.Cluster.barrier, lambda: pydsm.Cluster.splitIndices(3, 0)):
            with pytest.raises(RuntimeError, match=r"Cluster\.\w+\(\) needs a worker"):
                call()


def test_bad_calls_get_the_error_of_their_kind() -> None:
    with pydsm.Cluster(2) as cluster:
        with pytest.raises(TypeError, match="paras is a tuple"):
            cluster.runProcesses(print, 3)
        with pytest.raises(TypeError, match="function first"):
            cluster.runProcesses("print")
        with pytest.raises(pydsm.WorkerError, match="id is a worker's number"):
            cluster.runProcesses(lambda res: pydsm.Cluster.splitIndices(3, 2))
    with pytest.raises(ValueError, match="at least one worker"):
        pydsm.Cluster(0)


def test_a_lock_is_released_only_by_its_holder() -> None:
    with pydsm.Cluster(1) as cluster:
        lock = cluster.createLock("L")
        with pytest.raises(RuntimeError, match=r"lock 'L' cannot be released here: it is held by nobody"):
            lock.release()
        lock.acquire()

        def release(res):
            res["L"].release()

        with pytest.raises(pydsm.WorkerError, match=f"held by pid {os.getpid()}"):
            cluster.runProcesses(release)
        assert lock.held()
        lock.release()


def test_a_lock_can_be_tried_and_timed() -> None:
    def program(res):
        assert not res["L"].acquire(False)
        assert not res["L"].acquire(timeout=0.02)
        assert not res["L"].acquire(block=False)

    with pydsm.Cluster(2) as cluster:
        lock = cluster.createLock("L")
        with lock:
            assert lock.acquire(False)  # counted: the same thread
            lock.release()
            cluster.runProcesses(program)


def test_delete_shared_and_terminate_may_come_in_any_order() -> None:
    cluster = pydsm.Cluster(2)
    A = cluster.createShared("A", 3)
    cluster.deleteShared()
    assert cluster.sharedList == []
    cluster.createShared("A", 4)[:] = 1
    cluster.deleteShared()
    cluster.terminate()
    cluster.terminate()
    assert A.tolist() == [0, 0, 0]


def test_clusters_one_after_another_and_nested() -> None:
    for _ in range(3):
        with pydsm.Cluster(2) as outer, pydsm.Cluster(2) as inner:
            A, B = outer.createShared("A", 1), inner.createShared("A", 1)
            A[0], B[0] = 1, 2
            outer.runProcesses(lambda res: res["A"].__setitem__(0, 10))
            assert (A[0], B[0]) == (10, 2)


PROGRAM = """
import pydsm, sys, time
def work(res):
    for _ in range(300):
        res["lock"].acquire()
        res["A"][0] += 1
        res["lock"].release()
    pydsm.Cluster.barrier()
with pydsm.Cluster(2) as cluster:
    A = cluster.createShared("A", 1)
    cluster.createLock("lock")
    for _ in range(5):
        cluster.runProcesses(work)
    print(A[0])
"""


def test_two_programs_with_the_same_names_run_side_by_side(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [program.communicate(timeout=60)[0] for program in both] == ["3000\n", "3000\n"]
    assert list(tmp_path.iterdir()) == []  # no lock file in the current directory
