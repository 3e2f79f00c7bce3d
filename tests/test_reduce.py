from __future__ import annotations

import functools
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pydsm
from pydsm import reduction
from pydsm.core.ops import UFUNCS
from pydsm.errors import NoRoomError
from pydsm.ipc import catalog, shm
from pydsm.sync.scratch import Scratch
from tests import programs
from tests.conftest import our_names
from tests.effort import LONG

OF_NUMBERS = ["add", "mul", "min", "max"]
OF_BITS = ["and", "or", "xor"]
numbers = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
)
whole = st.builds(complex, st.integers(-8, 8), st.integers(-8, 8))
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40)


@st.composite
def operations(draw: st.DrawFn, size: int) -> tuple[np.ndarray, str]:
    """Draw an array for each worker and an operation for which they are."""
    dtype = draw(numbers)
    op = draw(st.sampled_from([*OF_NUMBERS, *OF_BITS] if dtype.kind in "bui" else OF_NUMBERS))
    # NumPy multiplies complex numbers in two ways, one for the middle and one for the ends of arrays, which
    # differ where products are infinite.
    elements = whole if dtype.kind == "c" and op == "mul" else None
    rows = [draw(hnp.arrays(dtype, shape, elements=elements)) for shape in [draw(shapes)] for _ in range(size)]
    return np.stack(rows), op


def plainly(rows: Any, op: str) -> Any:
    with np.errstate(all="ignore"):
        return functools.reduce(UFUNCS[op], rows)


def is_same(result: Any, expected: Any) -> bool:
    same_kind = type(result) is type(expected) and result.dtype == expected.dtype.newbyteorder("=")
    return same_kind and result.shape == expected.shape and np.array_equal(result, expected, equal_nan=True)


def reduce_all(worker: pydsm.Worker, calls: list[tuple[np.ndarray, str]]) -> list[Any]:
    return [worker.allreduce(rows[worker.rank], op) for rows, op in calls]


# -- what comes of it ------------------------------------------------------------


@pytest.mark.parametrize("small", [64, reduction._SMALL])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@settings(max_examples=12 if LONG else 6)
@given(data=st.data())
def test_all_get_what_numpy_gets_in_the_order_of_ranks(
    monkeypatch: pytest.MonkeyPatch, size: int, small: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(reduction, "_SMALL", small)
    calls = data.draw(st.lists(operations(size), max_size=12))
    with pydsm.Team(size) as team:
        results = team.run(reduce_all, calls)
    for (rows, op), *mine in zip(calls, *results, strict=True):
        assert is_same(mine[0], plainly(rows, op))
        assert len({np.asarray(each).tobytes() for each in mine}) == 1


@given(values=st.lists(st.floats(), min_size=2, max_size=2), op=st.sampled_from(OF_NUMBERS))
@settings(max_examples=25 if LONG else 12)
def test_floats_of_python_stay_so_and_are_silent(values: list[float], op: str) -> None:
    with pydsm.Team(2) as team:
        results = team.run(lambda worker: worker.allreduce(values[worker.rank], op))
    expected = plainly(np.array(values), op).item()
    assert [type(result) for result in results] == [float, float]
    assert np.array_equal(results, [expected, expected], equal_nan=True)


@pytest.mark.parametrize(
    ("values", "op", "expected"),
    [
        ([2**62, 2**62, 2**62], "add", 3 * 2**62),
        ([-(2**63), 2, 3], "mul", -6 * 2**63),
        ([5, -1, 3], "min", -1),
        ([6, 3, -1], "and", 2),
        ([6, 3, 1], "xor", 4),
        ([True, True, False], "add", 2),
        ([True, True, False], "or", True),
        ([True, True, False], "xor", False),
        ([1j, 2.0 + 0j, 1j], "mul", -2 + 0j),
    ],
)
def test_numbers_of_python_are_exact_and_stay_so(values: list[Any], op: str, expected: Any) -> None:
    with pydsm.Team(3) as team:
        results = team.run(lambda worker: worker.allreduce(values[worker.rank], op))
    assert results == [expected] * 3
    assert type(results[0]) is type(expected)


def test_numbers_of_numpy_stay_so_and_wrap_as_there() -> None:
    with pydsm.Team(2) as team:
        results = team.run(lambda worker: worker.allreduce(np.int8(100)))
    assert [(type(result), int(result)) for result in results] == [(np.int8, -56)] * 2


def test_arrays_give_private_arrays_whatever_they_were() -> None:
    def program(worker: pydsm.Worker) -> bool:
        A = worker["A"]
        A[worker.rank] = worker.rank + 1
        worker.barrier()
        plain = worker.allreduce(A[worker.rank])
        strided = worker.allreduce(np.arange(20.0).reshape(4, 5).T[::2])
        zero = worker.allreduce(np.array(3.0))
        plain += 1  # whose is it?
        worker.barrier()
        kinds = {type(plain), type(strided), type(zero)}
        return (
            kinds == {np.ndarray}
            and plain.tolist() == [4.0] * 30
            and np.array_equal(strided, 2 * np.arange(20.0).reshape(4, 5).T[::2])
            and (zero.shape, zero.tolist()) == ((), 6.0)
            and A[worker.rank].tolist() == [worker.rank + 1.0] * 30
        )

    with pydsm.Team(2) as team:
        team.array("A", (2, 30))
        assert team.run(program) == [True, True]


def test_times_have_a_sum_and_dates_a_maximum() -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        days = np.array([worker.rank] * 3, "m8[D]")
        return [str(worker.allreduce(days)), str(worker.allreduce(np.datetime64("2024-01-01") + days, "max"))]

    with pydsm.Team(3) as team:
        assert team.run(program) == [["[3 3 3]", "['2024-01-03' '2024-01-03' '2024-01-03']"]] * 3


@pytest.mark.parametrize("value", [7, 2.5, np.float32(1), np.arange(100)])
def test_reduce_is_for_the_root_alone(value: Any) -> None:
    def program(worker: pydsm.Worker) -> list[Any]:
        return [worker.reduce(value, "add", root) for root in (0, 2, np.int64(1))] + [worker.reduce(value)]

    with pydsm.Team(3) as team:
        results = team.run(program)
    wanted = [[rank == root for root in (0, 2, 1, 0)] for rank in range(3)]
    assert [[each is not None for each in mine] for mine in results] == wanted
    assert all(np.array_equal(each, 3 * value) for mine in results for each in mine if each is not None)


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_many_in_turns_with_arrays_that_grow_and_shrink(start: str) -> None:
    with pydsm.Team(3, start=start) as team:
        for rounds in (12, 5):
            assert team.run(programs.reduce_mixed, rounds) == [
                programs.expected_mixed(3, rank, rounds) for rank in range(3)
            ]


def test_barriers_shares_and_reductions_go_together() -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        sums = []
        for n in range(40):
            sums.append(worker.allreduce(sum(i for part in worker.share(n, chunk=2) for i in part)))
            if n % 3 == 0:
                worker.barrier()
        return sums

    with pydsm.Team(3) as team:
        assert team.run(program) == [[n * (n - 1) // 2 for n in range(40)]] * 3


def test_a_team_reduces_in_its_workers_only() -> None:
    with pydsm.Team(2) as team:
        assert team.run(lambda worker: (team.allreduce(2, "mul"), team.reduce(3, root=1))) == [(4, None), (4, 6)]
        for call in (team.allreduce, team.reduce):
            with pytest.raises(RuntimeError, match=r"reduce\(\) needs a worker"):
                call(1)


# -- wrong values ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "op", "kind", "sentence"),
    [
        ([1, 2], "add", TypeError, r"a number or an array, not \[1, 2\]"),
        (None, "add", TypeError, "a number or an array, not None"),
        ("text", "add", TypeError, "a number or an array, not 'text'"),
        (1, "sub", ValueError, "one of 'add', .*, not 'sub'"),
        (1, np.add, TypeError, "op is one of"),
        (1.0, "and", TypeError, "'and' does not work on elements of dtype float64"),
        (np.array([None]), "add", TypeError, "dtype object have no fixed size"),
        (np.array([b"ab"]), "add", TypeError, "'add'.*elements of dtype"),
        (np.zeros(2, "i4,f4"), "add", TypeError, "'add' does not work on"),
        (np.array(["2024"], "M8[D]"), "add", TypeError, "'add' does not work on"),
        (2**63, "add", OverflowError, "64 bits at most: 9223372036854775808 does not fit"),
        (-(2**63) - 1, "add", OverflowError, "does not fit"),
    ],
)
@pytest.mark.parametrize("method", ["allreduce", "reduce"])
def test_wrong_values_are_refused_with_a_sentence(
    method: str, value: Any, op: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        programs.in_a_worker(method, value, op)


@pytest.mark.parametrize(
    ("root", "kind"), [(1, ValueError), (-1, ValueError), (0.0, TypeError), (None, TypeError), (True, TypeError)]
)
def test_a_root_that_is_no_rank_is_refused(root: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="root is"):
        programs.in_a_worker("reduce", 1, "add", root)


CALLS: dict[str, Callable[[pydsm.Worker], object]] = {
    "an int": lambda worker: worker.allreduce(1),
    "a float": lambda worker: worker.allreduce(1.0),
    "a NumPy int": lambda worker: worker.allreduce(np.int64(1)),
    "another op": lambda worker: worker.allreduce(1, "max"),
    "for one": lambda worker: worker.reduce(1),
    "for another": lambda worker: worker.reduce(1, root=1),
    "an array": lambda worker: worker.allreduce(np.arange(100)),
    "another shape": lambda worker: worker.allreduce(np.arange(100).reshape(10, 10)),
    "another dtype": lambda worker: worker.allreduce(np.arange(100.0)),
    "a larger one": lambda worker: worker.allreduce(np.arange(10_000)),
    "a barrier": lambda worker: worker.barrier(),
}


@pytest.mark.parametrize("one", CALLS)
def test_workers_that_disagree_are_all_told_and_may_go_on(one: str) -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        said = []
        worker.allreduce(np.arange(100))
        for other in [name for name in CALLS if name != one]:
            try:
                CALLS[one if worker.rank == 1 else other](worker)
            except ValueError as error:
                said.append(str(error))
            if "a barrier" in (one, other):  # it counts as no reduction
                return said
            assert worker.allreduce(2) == 6
        return said

    with pydsm.Team(3) as team:
        results = team.run(program)
    barriers = [one == "a barrier"] * 3 if one == "a barrier" else [True, False, True]
    for rank, said in enumerate(results):
        told = len(CALLS) - 1 if one != "a barrier" else 1
        if barriers[rank] and not (one == "a barrier" and rank != 1):
            told -= 1  # a barrier is told nothing
        assert len(said) == told
        assert all("does something else: all workers do the same, in the same order" in text for text in said)
    if one != "a barrier":
        assert all("rank 0, 2 does" in text for text in results[1])


def test_a_barrier_is_not_taken_for_the_same_reduction_as_before() -> None:
    def program(worker: pydsm.Worker) -> int:
        for _ in range(4):
            worker.allreduce(1)
        if worker.rank == 1:
            worker.barrier()
            return 0
        with pytest.raises(ValueError, match="rank 1 does something else"):
            worker.allreduce(1)
        return 1

    with pydsm.Team(3) as team:
        assert team.run(program) == [1, 0, 1]


# -- room ------------------------------------------------------------------------


def scratch_names() -> list[str]:
    return [name for name in our_names() if ".scratch." in name]


def test_rows_grow_under_one_name_and_are_used_again() -> None:
    def program(worker: pydsm.Worker, sizes: list[int]) -> list[list[str]]:
        found = []
        for n in sizes:
            assert (worker.allreduce(np.ones(n)) == worker.size).all()
            worker.barrier()
            found.append(scratch_names())
            worker.barrier()
        return found

    with pydsm.Team(2) as team:
        assert scratch_names() == []
        first = team.run(program, [2, 100, 10_000, 100, 100_000])
        assert first[0] == first[1]
        assert [len(names) for names in first[0]] == [1] * 5
        assert [a == b for a, b in itertools.pairwise(first[0])] == [True, False, True, False]
        assert team.run(program, [100]) == [[first[0][-1]]] * 2
    assert scratch_names() == []


def test_numbers_need_no_rows() -> None:
    with pydsm.Team(2) as team:
        team.run(lambda worker: [worker.allreduce(v) for v in (1, 2.0, np.zeros(2, "f4"), np.zeros((0, 9)))])
        assert scratch_names() == []


def test_without_room_everybody_is_told_and_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def program(worker: pydsm.Worker) -> float:
        monkeypatch.setattr(shm, "_free", lambda: 12345)
        for _ in range(2):
            with pytest.raises(NoRoomError, match="bytes") as caught:
                worker.allreduce(np.ones(1 << 20))
            assert caught.value.wanted >= 3 << 23
            assert caught.value.free == 12345
        return float(worker.allreduce(np.ones(100)).sum())

    with pydsm.Team(2) as team:
        assert team.run(program) == [200.0] * 2


def test_a_worker_that_alone_has_no_room_tells_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise NoRoomError("no room here", wanted=7, free=77)

    def program(worker: pydsm.Worker) -> str:
        worker.allreduce(np.ones(10))
        with monkeypatch.context() as patch:
            if worker.rank == 1:
                patch.setattr(Scratch, "join", refuse)
            with pytest.raises(NoRoomError) as caught:
                worker.allreduce(np.ones(10_000))
        assert caught.value.free == 77
        assert (worker.allreduce(np.ones(10_000)) == 3).all()
        return str(caught.value)

    with pydsm.Team(3) as team:
        others = "rank 1 found no room for the 320000 bytes in which the workers reduce their arrays"
        assert team.run(program) == [others, "no room here", others]


PROGRAM = """
import sys, time, numpy as np, pydsm
def wait(worker):
    worker.allreduce(np.ones(1000))
    if worker.rank == 0:
        print("ready", flush=True)
    time.sleep(60)
pydsm.Team(2, namespace=sys.argv[1]).run(wait)
"""


def test_rows_of_a_killed_program_are_taken_back() -> None:
    namespace = our_namespace()
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, namespace], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.wait()
    program.stdout.read()  # ends with the workers
    program.stdout.close()
    assert len(scratch_names()) == 1
    catalog.reclaim(namespace)
    assert scratch_names() == []


def our_namespace() -> str:
    from pydsm.core import names

    return names.new_namespace()


# -- failure and death -----------------------------------------------------------


@pytest.mark.parametrize("value", [1, np.arange(1000)])
def test_a_worker_that_fails_breaks_it_for_all(value: Any) -> None:
    def program(worker: pydsm.Worker) -> None:
        worker.allreduce(value)
        if worker.rank == 1:
            worker._barrier.fail()  # as it is about to do anyway
            programs.until(lambda: worker["told"][[0, 2]].all())  # before the parent ends them
            raise LookupError("mine")
        try:
            worker.allreduce(value)
        except pydsm.BrokenBarrierError:
            worker["told"][worker.rank] = 1
            raise

    with pydsm.Team(3) as team:
        told = team.array("told", 3, int)
        with pytest.raises(pydsm.WorkerError, match="LookupError: mine"):
            team.run(program)
        assert told.tolist() == [1, 0, 1]


@pytest.mark.parametrize(("place", "name"), [(reduction, "_combine"), (Scratch, "join")])
def test_a_worker_that_fails_in_the_middle_breaks_it_for_all(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    def fail(*args: Any) -> Any:
        raise MemoryError("in the middle")

    def program(worker: pydsm.Worker) -> str:
        if worker.rank == 1:
            monkeypatch.setattr(place, name, fail)
        try:
            worker.allreduce(np.arange(10_000))
        except (MemoryError, pydsm.BrokenBarrierError) as error:
            return type(error).__name__
        return ""

    with pydsm.Team(3) as team:
        assert team.run(program) == ["BrokenBarrierError", "MemoryError", "BrokenBarrierError"]


def die(*args: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("value", [1.0, np.ones(1000), np.ones(100_000)], ids=["number", "array", "larger array"])
@pytest.mark.parametrize("victim", [0, 2])
def test_who_died_before_it_came_is_left_out(value: Any, victim: int) -> None:
    def program(worker: pydsm.Worker) -> list[float]:
        sums = []
        for _ in range(3):
            sums.append(float(np.max(worker.allreduce(value * (worker.rank + 1)))))
            if worker.rank == victim:
                die()
        return sums

    with pydsm.Team(3, on_death="continue") as team:
        results = team.run(program)
    left = 6.0 - (victim + 1)
    assert [result for rank, result in enumerate(results) if rank != victim] == [[6.0, left, left]] * 2


@pytest.mark.parametrize("step", ["say", "part", "part twice", "join", "row"])
@pytest.mark.parametrize("victim", [0, 1])
def test_who_died_in_the_middle_counts_for_all_or_for_none(
    monkeypatch: pytest.MonkeyPatch, step: str, victim: int
) -> None:
    """Its row is there once it has said so; before that it is not."""

    def program(worker: pydsm.Worker) -> np.ndarray:
        n = 100_000
        worker.allreduce(np.ones(10) if step in ("join", "row") else np.ones(n))
        if worker.rank == victim:
            if step == "say":
                monkeypatch.setattr(reduction._Call, "say", die)
            elif step == "part":
                monkeypatch.setattr(reduction, "_combine", die)
            elif step == "part twice":
                worker.allreduce(np.ones(n))
                monkeypatch.setattr(reduction, "_combine", die)
            elif step == "join":
                monkeypatch.setattr(Scratch, "join", die)
            else:
                monkeypatch.setattr(reduction.Reduction, "_rows", die)
        if worker.rank != victim and step == "part twice":
            worker.allreduce(np.ones(n))
        mine = worker.allreduce(values[worker.rank], "mul")  # a row that nobody wrote is zeros
        again = worker.allreduce(values[worker.rank], "mul")
        return np.concatenate([mine, again])

    values = [(np.arange(100_000.0) + 1) * (rank + 2) for rank in range(3)]
    with pydsm.Team(3, on_death="continue") as team:
        results = team.run(program)
    ranks = [rank for rank in range(3) if rank != victim]
    counted = [0, 1, 2] if step.startswith("part") else ranks
    mine, again = (plainly([values[rank] for rank in those], "mul") for those in (counted, ranks))
    for rank in ranks:
        assert np.array_equal(results[rank], np.concatenate([mine, again]))


def test_what_a_run_left_in_the_slots_is_not_counted_in_the_next() -> None:
    def program(worker: pydsm.Worker, victim: int) -> int:
        if worker.rank == victim:
            die()
        return int(worker.allreduce(1))

    with pydsm.Team(3, on_death="continue") as team:
        assert team.run(program, -1) == [3, 3, 3]
        assert team.run(program, 1)[::2] == [2, 2]
