"""Atomic operations on single elements: NumPy says what comes out, counts say that none is lost."""

from __future__ import annotations

import math
import operator
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pydsm
from pydsm.core.layout import Slot
from pydsm.core.ops import UFUNCS
from pydsm.sync import watch
from tests.refusals import check_refusal

INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
FLOATS = ["f4", "f8"]
FETCHES = {
    "add": "fetch_add",
    "min": "fetch_min",
    "max": "fetch_max",
    "and": "fetch_and",
    "or": "fetch_or",
    "xor": "fetch_xor",
}


def values_of(code: str) -> st.SearchStrategy[object]:
    if code == "?":
        return st.booleans()
    dtype = np.dtype(code)
    if dtype.kind == "f":
        return st.floats(width=8 * dtype.itemsize)
    return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def bits(value: object, dtype: np.dtype) -> bytes:
    return np.asarray(value, dtype).tobytes()


@given(st.data())
def test_one_element_changes_as_numpy_would_change_it(data) -> None:
    code = data.draw(st.sampled_from([*INTEGERS, *FLOATS, "?"]))
    ops = [
        op
        for op in FETCHES
        if not (code in FLOATS and op in ("and", "or", "xor")) and not (code == "?" and op == "add")
    ]
    op = data.draw(st.sampled_from(ops))
    before, value = data.draw(values_of(code)), data.draw(values_of(code))
    with pydsm.Team(1) as team:
        A = team.array("A", (3, 2), code)
        A[1, 1] = before
        found = getattr(A, FETCHES[op])((1, -1), value)
        with np.errstate(all="ignore"):
            expected = UFUNCS[op](np.asarray([before], A.dtype), np.asarray([value], A.dtype))[0]
        assert type(found) is type(A[1, 1].item())
        assert bits(found, A.dtype) == bits(before, A.dtype)
        if before == 0 == value:
            assert A[1, 1] == 0  # which zero is the smaller one is nobody's promise
        else:
            assert A[1, 1] == expected or (np.isnan(A[1, 1]) and np.isnan(expected))
        others = A.reshape(-1).tolist()
        del others[3]
        assert not any(others)


@given(st.data())
def test_swap_store_load_and_compare_move_exact_bits(data) -> None:
    code = data.draw(st.sampled_from([*INTEGERS, *FLOATS, "?"]))
    one, two, three = (data.draw(values_of(code)) for _ in range(3))
    with pydsm.Team(1) as team:
        A = team.array("A", 5, code)[::-2]
        assert not A.swap(1, one)
        assert bits(A.load_acquire(1), A.dtype) == bits(one, A.dtype)
        same = bits(one, A.dtype) == bits(two, A.dtype)
        assert A.compare_and_swap(1, two, three) is same
        assert bits(A[1], A.dtype) == bits(three if same else one, A.dtype)
        assert A.store_release(1, two) is None
        assert bits(A.load_acquire(-2), A.dtype) == bits(two, A.dtype)


def test_compare_and_swap_compares_bits_and_so_knows_nan_and_both_zeros() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 2)
        A[0] = math.nan
        assert A.compare_and_swap(0, math.nan, 1.0)
        assert not A.compare_and_swap(1, -0.0, 1.0)
        assert A.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("code", [*INTEGERS, *FLOATS])
def test_no_addition_of_four_workers_is_lost(code: str) -> None:
    rounds = 2000 if np.dtype(code).itemsize > 1 else 20

    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        worker.barrier()
        for turn in range(rounds):
            A.fetch_add((turn % 2, 1), 1)

    with pydsm.Team(4) as team:
        A = team.array("A", (2, 3), code)
        team.run(program)
        assert A.tolist() == [[0, 2 * rounds, 0]] * 2


def test_neighbours_in_one_word_are_changed_apart() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        worker.barrier()
        for _ in range(5000):
            A.fetch_add(worker.rank, 1)

    with pydsm.Team(4) as team:
        A = team.array("A", 4, "u1")
        team.run(program)
        assert A.tolist() == [5000 % 256] * 4


@pytest.mark.parametrize(("op", "expected"), [("fetch_max", 3999), ("fetch_min", -3999)])
def test_extremes_of_four_workers_come_out(op: str, expected: int) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        worker.barrier()
        for value in range(worker.rank, 4000, worker.size):
            getattr(A, op)(0, value if op == "fetch_max" else -value)

    with pydsm.Team(4) as team:
        A = team.array("A", 1, int)
        team.run(program)
        assert A[0] == expected


def test_tickets_are_handed_out_once() -> None:
    def program(worker: pydsm.Worker, n: int) -> list[int]:
        A, mine = worker["A"], []
        while (ticket := A.fetch_add(0, 1)) < n:
            mine.append(ticket)
        return mine

    with pydsm.Team(4) as team:
        team.array("A", 1, int)
        handed = team.run(program, 5000)
        assert sorted(ticket for mine in handed for ticket in mine) == list(range(5000))
        assert all(mine == sorted(mine) for mine in handed)


def test_a_loop_of_compare_and_swap_loses_nothing() -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for _ in range(1000):
            while not A.compare_and_swap(0, old := A.load_acquire(0), old + 0.5):
                pass

    with pydsm.Team(4) as team:
        A = team.array("A", 1)
        team.run(program)
        assert A[0] == 2000


def test_what_was_written_before_a_release_is_seen_after_the_acquire() -> None:
    def program(worker: pydsm.Worker, rounds: int) -> int:
        data, flag, stale = worker["data"], worker["flag"], 0
        for turn in range(1, rounds + 1):
            if worker.rank == 0:
                data[:] = turn
                flag.store_release(0, turn)
                flag.wait_until(1, "==", turn)
            else:
                flag.wait_until(0, "==", turn)
                stale += int((data != turn).any())
                flag.store_release(1, turn)
        return stale

    with pydsm.Team(2) as team:
        team.array("data", 64, int)
        team.array("flag", 2, int)
        assert team.run(program, 2000) == [0, 0]


REFUSED: list[tuple[str, type[Exception], str]] = [
    ("A.fetch_add(10, 1)", IndexError, "index 10 is out of range for axis 0 of array 'A' with 10 elements"),
    ("A.fetch_add(-11, 1)", IndexError, "index -11 is out of range"),
    ("M.fetch_add((0, 3), 1)", IndexError, "axis 1 of array 'M' with 3 elements"),
    ("A.fetch_add(1.0, 1)", TypeError, "named by an int, not 1.0"),
    ("A.fetch_add(True, 1)", TypeError, "named by an int, not True"),
    ("A.fetch_add(slice(2), 1)", TypeError, "named by an int"),
    ("A.fetch_add(np.array([1, 2]), 1)", TypeError, "named by an int"),
    ("M.fetch_add(1, 1)", TypeError, "a tuple of 2 ints, not 1"),
    ("M.fetch_add((1,), 1)", TypeError, "a tuple of 2 ints"),
    ("A.fetch_add(0, 1.5)", TypeError, "an int of dtype int64, not 1.5"),
    ("A.fetch_add(0, 2**63)", OverflowError, "9223372036854775808 does not fit array 'A' of dtype int64"),
    ("A.fetch_add(0, None)", TypeError, "not None"),
    ("U.fetch_add(0, -1)", OverflowError, "-1 does not fit array 'U' of dtype uint8"),
    ("U.swap(0, 256)", OverflowError, "256 does not fit"),
    ("M.fetch_add((0, 0), 'x')", TypeError, "real number"),
    ("M.fetch_or((0, 0), 1)", TypeError, "no bits to combine"),
    ("B.fetch_add(0, True)", TypeError, "fetch_or sets an element"),
    ("B.swap(0, 2)", TypeError, "True or False, not 2"),
    ("C.fetch_add(0, 1)", TypeError, "dtype complex128 is none of"),
    ("S.fetch_add(0, 1)", TypeError, "in this machine's byte order"),
    ("P['b'].fetch_add(0, 1)", TypeError, "not aligned"),
    ("G.fetch_add(0, 1)", ValueError, "array 'G' is read-only here; it is guarded: change it through the view"),
    ("A.fetch_add(0, np.array([1, 2]))", TypeError, "an int of dtype int64, not array([1, 2])"),
    ("M.fetch_add((0, 0), 10**400)", OverflowError, "does not fit array 'M' of dtype float64"),
    ("A.wait_until(0, 0, '==')", TypeError, "op is one of '<', '<='"),
    ("A[[0, 1]].fetch_add(0, 1)", TypeError, "private copy"),
    ("A.wait_until(0, '=', 1)", ValueError, "op is one of '<', '<=', '==', '>=', '>', '!=', not '='"),
    ("A.wait_until(0, '==', 0.5)", TypeError, "an int of dtype int64"),
    ("A.wait_until(0, '==', 1, timeout=-1)", ValueError, "timeout is a number of seconds"),
    ("A.wait_until(0, '==', 1, timeout='1')", TypeError, "timeout is a number of seconds"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[call for call, _, _ in REFUSED])
def test_what_cannot_be_is_refused_in_a_sentence_and_changes_nothing(call: str, error: type, text: str) -> None:
    check_refusal(call, error, text)


def test_a_guarded_array_is_changed_through_the_view_of_a_region_only() -> None:
    with pydsm.Team(1) as team:
        G = team.array("G", 3, int, access="guarded")
        with G.locked(1) as row:
            assert row.fetch_add((), 5) == 0
        with pytest.raises(ValueError, match="read-only"):
            row.fetch_add((), 5)
        with G.locked(slice(0, 2)) as rows:
            rows.store_release(0, 3)
        assert G.tolist() == [3, 5, 0]
        assert G.load_acquire(1) == 5


def test_an_index_may_be_numpys_and_views_count_for_themselves() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", (4, 3), "i4")
        A.T.fetch_add((np.int8(2), np.uint64(3)), 7)
        A[::-1, 1].fetch_add(0, 8)
        A[1].fetch_add(-1, 9)
        assert A.tolist() == [[0, 0, 0], [0, 0, 9], [0, 0, 0], [0, 8, 7]]


class Meddler:
    """An index or a value that changes the array while it is read."""

    def __init__(self, value: int, meddle: Callable[[], object]) -> None:
        self.value, self.meddle = value, meddle

    def __index__(self) -> int:
        self.meddle()
        return self.value


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy would rather not have shapes set in place
def test_an_index_that_changes_the_array_leads_nowhere() -> None:
    with pydsm.Team(1) as team:
        wide = team.array("wide", (1000, 1), int)
        with pytest.raises((IndexError, RuntimeError, TypeError)):
            wide.fetch_add((999, Meddler(0, lambda: setattr(wide, "shape", (1, 1000)))), 1)
        cube = team.array("cube", (10, 10, 10), int)
        with pytest.raises((RuntimeError, TypeError)):
            cube.fetch_add((Meddler(9, lambda: setattr(cube, "shape", (1000,))), 9, 9), 1)
        typed = team.array("typed", 10, int)
        with pytest.raises(RuntimeError, match="got another shape or dtype"):
            typed.fetch_and(0, Meddler(1, lambda: setattr(typed, "dtype", float)))
        closed = team.array("closed", 10, int)
        with pytest.raises(ValueError, match="read-only"):
            closed.swap(0, Meddler(1, lambda: setattr(closed.flags, "writeable", False)))
        assert not any(array.tobytes().strip(b"\0") for array in (wide, cube, typed, closed))


def test_an_int_of_ones_own_is_read_as_the_int_it_is() -> None:
    class Liar(int):
        def __lt__(self, other: object) -> bool:
            return False

        def __rshift__(self, other: object) -> int:
            return 0

    with pydsm.Team(1) as team:
        A = team.array("A", 1, "u4")
        for value in (Liar(-1), Liar(1 << 40)):
            with pytest.raises(OverflowError):
                A.swap(0, value)
        assert A.swap(0, Liar(5)) == 0
        assert A[0] == 5


def test_an_extreme_that_stands_is_a_fence_all_the_same() -> None:
    def program(worker: pydsm.Worker, rounds: int) -> list[int]:
        X, mine, seen = worker["X"], worker.rank, []
        scratch = worker["scratch"]
        for turn in range(rounds):
            worker.barrier()
            X[turn, mine] = 1
            scratch.fetch_max(mine, 0)  # changes nothing
            seen.append(int(X[turn, 1 - mine]))
        return seen

    with pydsm.Team(2) as team:
        team.array("X", (2000, 2), int)
        team.array("scratch", 2, int)
        zero, one = team.run(program, 2000)
        assert all(a or b for a, b in zip(zero, one, strict=True))


# -- waiting ---------------------------------------------------------------------


@pytest.fixture
def sound_sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not woken sleeps until the test's time is over."""
    monkeypatch.setattr(watch, "_FIRST_PARK", 300.0)
    monkeypatch.setattr(watch, "_LAST_PARK", 300.0)


def is_parked(A: pydsm.GlobalArray) -> bool:
    return bool(A._table.waiting())


CHANGES: list[Callable[[pydsm.GlobalArray], object]] = [
    lambda A: A.fetch_add(5, 3),
    lambda A: A.swap(5, 3),
    lambda A: A.compare_and_swap(5, 0, 3),
    lambda A: A.store_release(5, 3),
    lambda A: A.fetch_max(5, 3),
    lambda A: A.fetch_or(5, 3),
    lambda A: A.fetch_xor(5, 3),
    lambda A: A.accumulate([5], 3),
    lambda A: A.accumulate([5] * 3000, 1) or A.swap(5, 3),
    lambda A: A[::-1].fetch_add(len(A) - 6, 3),
    lambda A: _write_in_region(A),
]


def _write_in_region(A: pydsm.GlobalArray) -> None:
    with A.locked(5) as row:
        row[...] = 3


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
@pytest.mark.usefixtures("sound_sleepers")
def test_every_kind_of_change_wakes_who_waits_for_the_element(change: Callable[[pydsm.GlobalArray], object]) -> None:
    def program(worker: pydsm.Worker) -> int | None:
        A = worker["A"]
        if worker.rank:
            return A.wait_until(5, ">=", 3)
        while not is_parked(A):
            time.sleep(0.001)
        change(A)
        return None

    with pydsm.Team(2) as team:
        team.array("A", 2000, int)
        assert team.run(program)[1] >= 3


@pytest.mark.usefixtures("sound_sleepers")
def test_all_who_wait_are_woken_and_a_lock_waiter_in_the_same_lot_too() -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        if worker.rank == 0:
            with A.locked(0):
                worker.barrier()  # nobody asks for the row before: who got it first would never wait
                while len(A._table.waiting()) < 3:
                    time.sleep(0.001)
                A[0] = 1
            return 0
        worker.barrier()
        if worker.rank == 1:
            with A.locked(0):
                return int(A[0])
        return A.wait_until(0, "!=", 0)

    with pydsm.Team(4) as team:
        team.array("A", 3, int, stripes=1)
        assert team.run(program) == [0, 1, 1, 1]


@pytest.mark.usefixtures("sound_sleepers")
def test_a_pair_passes_a_token_to_and_fro_without_a_time_out() -> None:
    def program(worker: pydsm.Worker, rounds: int) -> None:
        A = worker["A"]
        for turn in range(rounds):
            A.wait_until(0, "==", 2 * turn + worker.rank)
            A.fetch_add(0, 1)

    with pydsm.Team(2) as team:
        A = team.array("A", 1, int)
        team.run(program, 3000)
        assert A[0] == 6000


@pytest.mark.parametrize("text", ["<", "<=", "==", ">=", ">", "!="])
@given(st.data())
def test_the_relations_are_pythons(text: str, data) -> None:
    code = data.draw(st.sampled_from([*INTEGERS, *FLOATS]))
    value, goal = data.draw(values_of(code)), data.draw(values_of(code))
    relation = {"<": operator.lt, "<=": operator.le, "==": operator.eq}
    relation |= {">=": operator.ge, ">": operator.gt, "!=": operator.ne}
    with pydsm.Team(1) as team:
        A = team.array("A", 1, code)
        A[0] = value
        if relation[text](value, goal):
            assert bits(A.wait_until(0, text, goal, timeout=0), A.dtype) == bits(value, A.dtype)
        else:
            with pytest.raises(pydsm.WaitTimeoutError, match="did not come true in time"):
                A.wait_until(0, text, goal, timeout=0)


def test_a_wait_that_is_over_leaves_nothing_behind() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 2, int)
        with pytest.raises(TimeoutError, match="element 1 of array 'A' == 3"):
            A.wait_until(1, "==", 3, timeout=0.01)
        assert not is_parked(A)
        with A.locked():
            A.fetch_add(1, 3)
        assert A.wait_until(1, "==", 3) == 3


def test_a_plain_write_is_found_though_nobody_wakes() -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        if worker.rank:
            return A.wait_until(0, "==", 9)
        while not is_parked(A):
            time.sleep(0.001)
        A[0] = 9
        return 0

    with pydsm.Team(2) as team:
        team.array("A", 1, int)
        assert team.run(program) == [0, 9]


def test_a_signal_ends_a_wait_and_leaves_nothing_behind() -> None:
    class Alarm(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise Alarm

    with pydsm.Team(1) as team:
        A = team.array("A", 1, int)
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            while not is_parked(A):
                time.sleep(0.001)
            signal.pthread_kill(main, signal.SIGUSR1)

        previous = signal.signal(signal.SIGUSR1, ring)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with pytest.raises(Alarm):
                A.wait_until(0, "==", 1)
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, previous)
        assert not is_parked(A)
        with A.locked(0, timeout=5):
            pass


def test_a_watcher_that_is_killed_stands_in_nobodys_way() -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        if worker.rank:
            A.wait_until(0, "==", 1)
        while len(A._table.waiting()) < 2:  # the parent and rank 1
            time.sleep(0.001)
        A.store_release(1, 1)  # the parent's sign
        A.wait_until(2, "==", 1)
        return A.fetch_add(0, 5)

    with pydsm.Team(2, on_death="continue") as team:
        A = team.array("A", 3, int, stripes=1)
        killer = threading.Thread(target=_kill_rank_one, args=(team, A))
        killer.start()
        results = team.run(program)
        killer.join()
        assert results[0] == 0
        assert isinstance(results[1], pydsm.WorkerDiedError)
        assert not is_parked(A)
        with A.locked():
            assert A[0] == 5


def _kill_rank_one(team: pydsm.Team, A: pydsm.GlobalArray) -> None:
    A.wait_until(1, "==", 1)
    slots = team._namespace.slots
    os.kill(slots.who(1).pid, signal.SIGKILL)
    A.store_release(2, 1)


def test_who_waits_though_all_others_have_ended_is_told() -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        if worker.rank:
            return []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            helper = threading.Thread(target=_fulfil_later, args=(worker["A"], caught))
            helper.start()
            worker["A"].wait_until(1, "==", 1)
            helper.join()
            return [str(each.message) for each in caught]

    with pydsm.Team(2) as team:
        team.array("A", 2, int)
        assert team.run(program)[0] == ["element 1 of array 'A' == 1 is waited for, and all other workers have ended"]


def _fulfil_later(A: pydsm.GlobalArray, caught: list[warnings.WarningMessage]) -> None:
    while not caught:
        time.sleep(0.01)
    A.store_release(1, 1)


def test_kills_in_the_middle_leave_every_operation_whole_and_nothing_held() -> None:
    """Each turn adds to the sum first and to one's own count second: a death is between two of them."""

    def program(worker: pydsm.Worker) -> None:
        A, own = worker["A"], worker["own"]
        rows = np.full(200, 7)
        while True:
            A.fetch_add(0, 1)
            own.fetch_add(worker.rank, 1)
            A.accumulate(rows, 1)

    def kill(team: pydsm.Team) -> None:
        for rank in range(3):
            team["own"].wait_until(rank, ">=", 100)
            os.kill(team._namespace.slots.who(rank).pid, signal.SIGKILL)

    with pydsm.Team(3, on_death="continue") as team:
        A, own = team.array("A", 10, int), team.array("own", 3, int)
        killer = threading.Thread(target=kill, args=(team,))
        killer.start()
        with pytest.raises(pydsm.WorkerDiedError):
            team.run(program)
        killer.join()
        assert 0 <= A[0] - own.sum() <= 3
        assert 200 * (own.sum() - 3) <= A[7] <= 200 * A[0]
        with A.locked(timeout=5):
            pass


def test_a_fork_in_the_middle_of_a_wait_leaves_the_parents_wait_alone() -> None:
    def fork(number: int, frame: object) -> None:
        if os.fork() == 0:
            raise Forked

    class Forked(Exception):
        pass

    with pydsm.Team(1) as team:
        A = team.array("A", 1, int)
        main = threading.main_thread().ident
        assert main is not None
        before = signal.signal(signal.SIGUSR1, fork)
        helper = threading.Thread(target=_fork_then_fulfil, args=(A, main))
        helper.start()
        parent = os.getpid()
        try:
            found = A.wait_until(0, "==", 1)
        except BaseException:
            os._exit(0 if os.getpid() != parent else 1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        helper.join()
        assert os.wait()[1] == 0
        assert found == 1
        assert not is_parked(A)


def _fork_then_fulfil(A: pydsm.GlobalArray, main: int) -> None:
    slots = A._table.namespace.slots
    while not is_parked(A):
        time.sleep(0.001)
    (slot,) = A._table.waiting()
    signal.pthread_kill(main, signal.SIGUSR1)
    while not _children():
        time.sleep(0.001)
    time.sleep(0.05)  # the child has made up its mind by then; if not, the test shows less
    assert slots.get(slot, Slot.WAIT)
    A.store_release(0, 1)


def _children() -> list[str]:
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def test_a_watcher_that_died_is_taken_out_of_the_lot_by_the_next_change() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 1, int)
        child = os.fork()
        if child == 0:
            A.wait_until(0, "==", 1)
            os._exit(1)
        while not is_parked(A):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        A.fetch_add(0, 5)
        assert not is_parked(A)


def test_a_change_that_cannot_wake_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise pydsm.NoRoomError("no room for a mapping", wanted=1, free=0)

    with pydsm.Team(1) as team:
        A = team.array("A", 1, int)
        waiter = threading.Thread(target=A.wait_until, args=(0, ">=", 2))
        waiter.start()
        while not is_parked(A):
            time.sleep(0.001)
        with monkeypatch.context() as patch:
            patch.setattr(type(A._table.namespace.parking), "semaphore", refuse)
            assert A.fetch_add(0, 1) == 0
        assert A.fetch_add(0, 1) == 1
        waiter.join()


def test_a_wait_inside_a_wait_leaves_the_outer_one_in_its_lot() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 2, int, stripes=1)
        seen = []

        def look(number: int, frame: object) -> None:
            before = is_parked(A)
            with pytest.raises(pydsm.WaitTimeoutError):
                A.wait_until(1, "==", 1, timeout=0.01)
            seen.append((before, is_parked(A)))

        main = threading.main_thread().ident
        assert main is not None
        held = threading.Event()

        def hold() -> None:
            with A.locked(0):
                held.set()
                while not is_parked(A):
                    time.sleep(0.001)
                signal.pthread_kill(main, signal.SIGUSR1)
                while not seen:
                    time.sleep(0.001)

        before = signal.signal(signal.SIGUSR1, look)
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        try:
            with A.locked(0):
                pass
        finally:
            signal.signal(signal.SIGUSR1, before)
        thread.join()
        assert seen == [(True, True)]
        assert not is_parked(A)
