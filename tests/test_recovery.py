"""What is left of an update when its worker dies in it, or raises."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import pydsm
from pydsm.native import region as native_region
from tests.test_locked import is_free

KEYS = [3, -1, slice(1, 8, 3), slice(None, None, -2), [1, 5, 2, 5], np.arange(10) % 3 == 0, None, ..., [], slice(4, 4)]


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    array = pydsm.create("A", (10, 3), int)
    array[:] = np.arange(30).reshape(10, 3)
    yield array
    pydsm.unlink("A")


def in_child(body: Callable[[], None]) -> int:
    """Run `body` in a forked child that is killed after it; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    return pid


def scribble_and_die(array: pydsm.GlobalArray, key: object, **options: bool) -> int:
    def body() -> None:
        with array.locked(key, **options):
            array[... if key is None else key] = -7
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child(body)


# -- recover ------------------------------------------------------------------------


def test_abandoned_rows_stay_so_until_somebody_recovers_them(A: pydsm.GlobalArray) -> None:
    pid = scribble_and_die(A, [2, 4])
    for _ in range(2):
        for shared in (False, True):
            with pytest.raises(pydsm.OwnerDiedError, match="recover=True") as caught, A.locked(4, shared=shared):
                pass
            assert (caught.value.pid, caught.value.rank) == (pid, None)
    assert A.statistics().abandoned == 2
    region = A.locked(4, recover=True)
    with region as row:
        assert region.recovered == [f"pid {pid}"]
        assert row.tolist() == [-7] * 3
        with A.locked(4):  # nested in it as in any other
            pass
    assert region.recovered == []
    assert is_free(A, 4)
    assert A.statistics().abandoned == 1
    with A.locked(recover=True):
        pass
    assert A.statistics().abandoned == 0
    assert is_free(A)


def test_rows_that_could_not_be_put_right_are_abandoned_again(A: pydsm.GlobalArray) -> None:
    scribble_and_die(A, [2, 4])
    with pytest.raises(ZeroDivisionError), A.locked([4, 5], recover=True):
        raise ZeroDivisionError
    assert is_free(A, 5)
    with A.locked(7) as _, pytest.raises(pydsm.OwnerDiedError), A.locked(4):
        pass
    assert A.statistics().abandoned == 2


def test_a_time_out_after_a_take_over_leaves_the_rows_abandoned(A: pydsm.GlobalArray) -> None:
    ready, go = os.pipe()
    scribble_and_die(A, 2)
    pid = os.fork()
    if pid == 0:
        with A.locked(5):
            os.write(go, b"x")
            signal.pause()
    assert os.read(ready, 1) == b"x"
    with pytest.raises(pydsm.LockTimeoutError), A.locked(slice(0, 6), recover=True, timeout=0.05):
        pass
    with pytest.raises(pydsm.OwnerDiedError), A.locked(2):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(go)
    with A.locked(recover=True):
        pass
    assert is_free(A)


def test_groups_and_named_locks_recover_too() -> None:
    with pydsm.Team(1) as team:
        A, B, lock = team.array("A", 4, int), team.array("B", 4, int), team.lock("L")

        def die() -> None:
            lock.acquire()
            with pydsm.locked((A, 1), (B, 2)):
                os.kill(os.getpid(), signal.SIGKILL)

        in_child(die)
        with pytest.raises(pydsm.OwnerDiedError, match="lock 'L'"):
            lock.acquire()
        assert lock.acquire(recover=True)
        lock.release()
        assert lock.acquire(timeout=0)
        lock.release()
        with pytest.raises(pydsm.OwnerDiedError), pydsm.locked((A, 1), (B, 2)):
            pass
        group = pydsm.locked((A, 1), (B, 2), recover=True)
        with group:
            assert len(group.recovered) == 2
        assert is_free(A)
        assert is_free(B)


def test_a_dead_sharer_leaves_nothing_to_recover(A: pydsm.GlobalArray) -> None:
    def die() -> None:
        with A.locked(3, shared=True):
            os.kill(os.getpid(), signal.SIGKILL)

    in_child(die)
    with A.locked(3):
        pass


def test_a_recoverer_that_dies_is_the_next_one_to_recover_from(A: pydsm.GlobalArray) -> None:
    first = scribble_and_die(A, 3)
    with pytest.raises(pydsm.OwnerDiedError):  # it is buried now
        A.locked(3).__enter__()
    second = scribble_and_die(A, 3, recover=True)
    with pytest.raises(pydsm.OwnerDiedError) as caught, A.locked(3):
        pass
    assert caught.value.pid == second != first


@pytest.mark.parametrize("option", ["undo", "recover"])
def test_a_shared_region_writes_nothing(A: pydsm.GlobalArray, option: str) -> None:
    with pytest.raises(ValueError, match="shared region of array 'A' writes nothing"):
        A.locked(1, shared=True, **{option: True})


# -- undo ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_an_update_that_raises_or_dies_is_undone_as_a_whole(A: pydsm.GlobalArray, key: object) -> None:
    before = np.array(A)
    with pytest.raises(ZeroDivisionError), A.locked(key, undo=True):
        A[... if key is None else key] = -7
        raise ZeroDivisionError
    assert np.array_equal(A, before)
    scribble_and_die(A, key, undo=True)
    with A.locked(recover=True):
        assert np.array_equal(A, before)
    with A.locked(key, undo=True):
        A[... if key is None else key] = -7
    after = before.copy()
    after[... if key is None else key] = -7
    assert np.array_equal(A, after)


@pytest.mark.parametrize("dtype", ["f8", ">i4", "M8[ns]", "S5", "U3", [("a", "i1"), ("b", "f8")], "?", "c16"], ids=str)
def test_bits_are_put_back_not_values(dtype: object) -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", (6, 2), dtype)
        raw = A.reshape(-1).view(np.uint8)
        raw[:] = np.random.default_rng(1).integers(0, 256, raw.size)  # NaNs, -0.0, unset padding
        before = raw.tobytes()
        with pytest.raises(ZeroDivisionError), A.locked([0, 3], undo=True):
            raw[:] = 0
            raw[: raw.size // 6] = 255
            raw[raw.size // 6 :] = np.frombuffer(before, np.uint8)[raw.size // 6 :]
            raise ZeroDivisionError
        assert raw.tobytes() == before

        def die() -> None:
            with A.locked(1, undo=True) as row:
                row.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 77
                os.kill(os.getpid(), signal.SIGKILL)

        in_child(die)
        with A.locked(1, recover=True):
            assert raw.tobytes() == before


def test_only_the_elements_of_the_region_are_put_back(A: pydsm.GlobalArray) -> None:
    column = A[:, 1]
    with pytest.raises(ZeroDivisionError), column.locked(2, undo=True) as element:
        element[...] = -1
        A[2, 0] = 100  # another worker's column
        raise ZeroDivisionError
    assert A[2].tolist() == [100, 7, 8]

    def die() -> None:
        with A[::-2, 1].locked([0, 1], undo=True):
            A[:] = -1
            os.kill(os.getpid(), signal.SIGKILL)

    in_child(die)
    with A.locked(recover=True):
        assert A[:, 1].tolist() == [-1, -1, -1, -1, -1, -1, -1, 22, -1, 28]


def test_nested_updates_are_undone_together(A: pydsm.GlobalArray) -> None:
    before = np.array(A)
    with pytest.raises(ZeroDivisionError), A.locked(slice(0, 4), undo=True):
        A[0] = -1
        with A.locked(1, undo=True):  # commits within the outer one only
            A[1] = -2
        with pytest.raises(KeyError), A.locked(0, undo=True):
            A[0] = -3
            raise KeyError
        assert A[0, 0] == -1
        raise ZeroDivisionError
    assert np.array_equal(A, before)

    def die() -> None:
        with A.locked(slice(0, 4), undo=True):
            A[0] = -1
            with A.locked(0, undo=True):
                A[0] = -2
                os.kill(os.getpid(), signal.SIGKILL)

    in_child(die)
    with A.locked(recover=True):
        assert np.array_equal(A, before)


def test_a_group_is_undone_as_one() -> None:
    with pydsm.Team(1) as team:
        A, B = team.array("A", 4, int), team.array("B", 4)
        with pytest.raises(ZeroDivisionError), pydsm.locked((A, 1), (B, slice(0, 2)), undo=True) as (a, b):
            a += 1
            b += 1
            raise ZeroDivisionError
        assert (A.sum(), B.sum()) == (0, 0)

        def die() -> None:
            with pydsm.locked((A, 1), (B, slice(0, 2)), undo=True) as (a, b):
                a += 1
                b += 1
                os.kill(os.getpid(), signal.SIGKILL)

        in_child(die)
        with pydsm.locked((A, None), (B, None), recover=True, undo=True) as (a, b):
            assert (a.sum(), b.sum()) == (0, 0)
            a += 1
        assert A.sum() == 4


def test_a_fork_inside_an_update_undoes_nothing(A: pydsm.GlobalArray) -> None:
    with A.locked(3, undo=True) as row:
        row[:] = 5
        in_child(lambda: None)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    assert A[3].tolist() == [5, 5, 5]


def test_guarded_arrays_are_put_back_and_readonly_ones_have_nothing_to_undo() -> None:
    with pydsm.Team(1) as team:
        G = team.array("G", 4, int, access="guarded")
        with pytest.raises(ZeroDivisionError), G.locked(2, undo=True) as row:
            row[...] = 5
            raise ZeroDivisionError
        assert G.tolist() == [0] * 4
        R = pydsm.attach(f"{team.namespace}/G", readonly=True)
        with pytest.raises(ValueError, match="nothing to undo"), R.locked(1, undo=True):
            pass
        assert is_free(G)


def test_a_large_update_finds_room(A: pydsm.GlobalArray) -> None:
    with pydsm.Team(1) as team:
        B = team.array("B", (300, 1000))
        for rows in (3, 300, 10):
            with pytest.raises(ZeroDivisionError), B.locked(slice(0, rows), undo=True) as view:
                view += 1
                raise ZeroDivisionError
        assert B.sum() == 0


def test_a_file_backed_array_is_put_back_too(tmp_path) -> None:
    A = pydsm.create("F", 4, int, file=tmp_path / "F")
    scribble_and_die(A, 2, undo=True)
    with A.locked(2, recover=True):
        assert A.tolist() == [0] * 4
    pydsm.unlink("F")


# -- teams --------------------------------------------------------------------------


def test_survivors_go_on_and_the_dead_ones_place_has_its_error() -> None:
    def count(worker: pydsm.Worker) -> int:
        A = worker["A"]
        for step in range(50):
            with A.locked(0, undo=True, recover=True) as total:
                total += 1
                if worker.rank == 1 and step == 20:
                    os.kill(os.getpid(), signal.SIGKILL)
            worker.barrier()
        return worker.rank

    with pydsm.Team(3, on_death="continue") as team:
        A = team.array("A", 1, int)
        for run in range(2):
            A[0] = 0
            results = team.run(count)
            assert (results[0], results[2]) == (0, 2)
            assert isinstance(results[1], pydsm.WorkerDiedError)
            assert (results[1].rank, results[1].exitcode) == (1, -signal.SIGKILL), run
            assert A[0] == 50 + 20 + 50


@pytest.mark.parametrize("step", range(3))
def test_a_barrier_is_complete_without_the_dead_wherever_they_died(step: int) -> None:
    def meet(worker: pydsm.Worker) -> str:
        if worker.rank == 0:
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            worker.barrier()
            if step == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 2:  # killed asleep in the barrier, by a survivor that comes last
                worker["A"][0] = os.getpid()
                worker.barrier()
        else:
            worker.barrier()
            if step == 2 and worker.rank == 1:
                while not worker["A"][0]:
                    os.sched_yield()
                os.kill(int(worker["A"][0]), signal.SIGKILL)
        for _ in range(5):
            worker.barrier()
        return "through"

    with pydsm.Team(3, on_death="continue") as team:
        team.array("A", 1, int)
        assert team.run(meet)[1:] == ["through"] * 2


def test_if_nobody_survives_the_run_raises() -> None:
    with pydsm.Team(2, on_death="continue") as team, pytest.raises(pydsm.WorkerDiedError):
        team.run(lambda worker: os.kill(os.getpid(), signal.SIGKILL))


def test_an_error_still_ends_a_team_that_survives_deaths() -> None:
    with pydsm.Team(2, on_death="continue") as team, pytest.raises(pydsm.WorkerError, match="ZeroDivision"):
        team.run(lambda worker: 1 / worker.rank)


def test_a_death_is_reported_with_what_was_held_and_where_it_was() -> None:
    def crash(worker: pydsm.Worker) -> None:
        worker["L"].acquire()
        with worker["A"].locked(slice(2, 5)):
            ctypes.string_at(0)

    with pydsm.Team(1) as team:
        team.array("A", 9, int)
        team.lock("L")
        with pytest.raises(pydsm.WorkerDiedError) as caught:
            team.run(crash)
        error = caught.value
        assert sorted(error.held) == ["lock 'L'", "rows 2 to 4 of array 'A'"]
        assert "SIGSEGV" in str(error)
        assert "in crash" in error.remote_traceback
        assert "test_recovery.py" in str(error)


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_inside_a_region_is_a_death_in_it(code: int) -> None:
    def leave(worker: pydsm.Worker) -> None:
        with worker["A"].locked(1):
            os._exit(code)

    with pydsm.Team(1) as team:
        A = team.array("A", 2, int)
        with pytest.raises(pydsm.WorkerDiedError) as caught:
            team.run(leave)
        assert caught.value.held == ["row 1 of array 'A'"]
        with pytest.raises(pydsm.OwnerDiedError), A.locked(1):
            pass


def test_a_stopped_holder_is_not_dead(A: pydsm.GlobalArray) -> None:
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        with A.locked(3, undo=True) as row:
            row[:] = 1
            os.write(go, b"x")
            signal.pause()
    assert os.read(ready, 1) == b"x"
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(pydsm.LockTimeoutError), A.locked(3, timeout=0.3, recover=True):
        pass
    assert A[3].tolist() == [1, 1, 1]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with A.locked(3, recover=True) as row:
        assert row.tolist() == [9, 10, 11]
    os.close(ready)
    os.close(go)


def test_a_wrong_choice_for_deaths_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match="'abort', 'continue'"):
        pydsm.Team(1, on_death="ignore")  # type: ignore[arg-type]


def test_where_python_may_lose_a_region_a_dropped_one_is_left(A: pydsm.GlobalArray) -> None:
    before = native_region.set_leave_dropped(True)
    try:
        A.locked(3).__enter__()
        assert is_free(A, 3)
        with pytest.raises(ZeroDivisionError), A.locked(3, undo=True) as row:
            row[:] = 0
            raise ZeroDivisionError
        region = A.locked(4, undo=True)
        region.__enter__()[:] = 0
        del region
        assert A[4].tolist() == [12, 13, 14]
        for _ in range(3):
            with A.locked(3), A.locked(4):
                pass
        assert is_free(A)
    finally:
        native_region.set_leave_dropped(before)


def test_who_only_polls_learns_of_a_death_too(A: pydsm.GlobalArray) -> None:
    scribble_and_die(A, 3)
    with pytest.raises(pydsm.OwnerDiedError), A.locked(3, timeout=0):
        pass

    def share() -> None:
        with A.locked(4, shared=True):
            os.kill(os.getpid(), signal.SIGKILL)

    in_child(share)
    with A.locked(4, timeout=0):
        pass


def test_sigterm_from_outside_is_a_death_after_the_blocks_are_left() -> None:
    def work(worker: pydsm.Worker) -> str:
        A = worker["A"]
        if worker.rank == 0:
            with A.locked(0, undo=True):
                A[0] = 5
                os.kill(os.getpid(), signal.SIGTERM)
        worker.barrier()
        with A.locked(0):
            return f"found {A[0]}"

    with pydsm.Team(2, on_death="continue") as team:
        team.array("A", 1, int)
        dead, survivor = team.run(work)
        assert (dead.exitcode, dead.held, survivor) == (-signal.SIGTERM, [], "found 0")
        team.on_death = "abort"
        with pytest.raises(pydsm.WorkerDiedError, match="worker 0 was killed by SIGTERM"):
            team.run(work)


def test_a_death_that_others_stumble_over_is_a_note_of_their_error() -> None:
    def work(worker: pydsm.Worker) -> None:
        if worker.rank == 0:
            with worker["A"].locked(0):
                ctypes.string_at(0)
        worker.barrier()
        with worker["A"].locked(0):
            pass

    with pydsm.Team(2, on_death="continue") as team:
        team.array("A", 1, int)
        with pytest.raises(pydsm.WorkerError, match="OwnerDiedError") as caught:
            team.run(work)
        assert "SIGSEGV" in caught.value.__notes__[0]
