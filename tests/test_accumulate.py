"""Many atomic updates in one call: np.add.at and its like say what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pydsm
from pydsm import accumulate
from pydsm.core.ops import UFUNCS
from tests.refusals import check_refusal

NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "?"]
VIEWS = [
    lambda A: A,
    lambda A: A[::-1],
    lambda A: A[::2],
    lambda A: A[1:],
    lambda A: A.T,
    lambda A: A[:, ::-1] if A.ndim > 1 else A,
    lambda A: A[:, 0] if A.ndim > 1 else A,
    lambda A: A.swapaxes(0, -1),
]


def ops_of(code: str) -> list[str]:
    if code == "?":
        return ["min", "max", "and", "or", "xor"]
    return ["add", "mul", "min", "max"] if code[0] == "f" else list(UFUNCS)


def keys(count: int) -> st.SearchStrategy[Any]:
    if count == 0:
        return st.sampled_from([[], slice(None), None, np.zeros(0, bool)])
    row = st.integers(-count, count - 1)
    lists = st.lists(row, max_size=3 * count + 2)
    return st.one_of(
        row,
        lists,
        lists.map(lambda rows: np.array(rows, np.int16)),
        lists.map(lambda rows: np.array(rows, np.intp).repeat(2)[::2]),
        st.lists(st.integers(0, count - 1)).map(lambda rows: np.array(rows, np.uint64)),
        st.slices(count),
        hnp.arrays(bool, count),
        st.just(range(count)),
        st.none(),
    )


def small_values(dtype: np.dtype, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Numbers whose sums are exact in whatever order, so that floats can be compared bit by bit."""
    if dtype.kind == "b":
        return hnp.arrays(dtype, shape)
    low = 0 if dtype.kind == "u" else -4
    return hnp.arrays(dtype, shape, elements=st.integers(low, 4).map(float if dtype.kind == "f" else int))


@given(st.data())
def test_it_is_the_ufuncs_at_for_every_key_view_dtype_and_operation(data: st.DataObject) -> None:
    code = data.draw(st.sampled_from(NUMBERS))
    op = data.draw(st.sampled_from(ops_of(code)))
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    view = data.draw(st.sampled_from(VIEWS))
    with pydsm.Team(1) as team:
        A = team.array("A", shape, code)
        A[...] = data.draw(small_values(A.dtype, shape))
        plain = np.array(A)
        part, expected = view(A), view(plain)
        key = data.draw(keys(len(part)))
        chosen = np.asarray(expected[... if key is None else key])
        broadcast = data.draw(st.sampled_from(range(chosen.ndim + 1)))
        values = data.draw(small_values(A.dtype, chosen.shape[broadcast:]))
        with np.errstate(all="ignore"):
            UFUNCS[op].at(expected, ... if key is None else key, values)
        part.accumulate(key, values, op)
        assert A.tobytes() == plain.tobytes()


@pytest.mark.parametrize("code", NUMBERS)
@pytest.mark.parametrize("merged", [False, True], ids=["each", "merged"])
def test_both_ways_give_the_same(code: str, merged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    rows = random.integers(-300, 300, 200 if not merged else 2000)
    monkeypatch.setattr(accumulate, "_LARGE", 1 << 40 if merged else 0)
    for op in ops_of(code):
        for shape in [(300,), (300, 4)]:
            with pydsm.Team(1) as team:
                A = team.array("A", shape, code)
                A[...] = random.integers(0, 2, shape)
                values = random.integers(0, 3, (len(rows), *shape[1:])).astype(code)
                plain = np.array(A)
                with np.errstate(all="ignore"):
                    UFUNCS[op].at(plain, rows, values)
                A.accumulate(rows, values, op)
                assert A.tobytes() == plain.tobytes()


@pytest.mark.parametrize("code", ["i1", "u2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("updates", [30, 3000], ids=["each", "merged"])
@pytest.mark.parametrize("shape", [(100,), (100, 3)], ids=str)
def test_no_update_of_four_workers_is_lost(code: str, updates: int, shape: tuple[int, ...]) -> None:
    def program(worker: pydsm.Worker) -> None:
        A, random = worker["A"], np.random.default_rng(worker.rank)
        worker.barrier()
        for turn in range(40):
            rows = random.integers(3 if turn % 2 else 100, size=updates)
            A.accumulate(rows, np.ones((updates, *shape[1:]), code))

    with pydsm.Team(4) as team:
        A = team.array("A", shape, code)
        team.run(program)
        plain = np.zeros(100, np.int64)
        for rank in range(4):
            random = np.random.default_rng(rank)
            for turn in range(40):
                np.add.at(plain, random.integers(3 if turn % 2 else 100, size=updates), 1)
        expected = plain.astype(code) if code[0] != "f" else plain
        assert (A.reshape(100, -1) == np.asarray(expected)[:, None]).all()


def test_a_wrong_row_changes_nothing_wherever_it_is() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 100, int)
        for count in (5, 5000):
            for position in (0, count // 2, count - 1):
                for wrong in (100, -101, 2**62, -(2**62)):
                    rows = np.arange(count) % 100
                    rows[position] = wrong
                    with pytest.raises(IndexError, match=f"row {wrong} is out of range for array 'A' with 100 rows"):
                        A.accumulate(rows, 1)
                    assert not A.any()


def test_rows_that_another_thread_changes_meanwhile_never_lead_outside() -> None:
    import threading

    with pydsm.Team(1) as team:
        A = team.array("A", (1000, 1), int)
        rows, stop = np.zeros(20_000, np.intp), threading.Event()

        def spoil() -> None:
            while not stop.is_set():
                rows[:] = 2**40
                rows[:] = 0

        thread = threading.Thread(target=spoil)
        thread.start()
        try:
            for _ in range(100):
                for part in (rows[:500], rows):
                    try:
                        A.accumulate(part, 1)
                    except IndexError:
                        continue
        finally:
            stop.set()
            thread.join()
        assert not A[1:].any()


def test_values_may_be_of_the_array_itself() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 4, int)
        A[:] = [1, 2, 3, 4]
        A.accumulate([3, 2, 1, 0], A)
        assert A.tolist() == [5, 5, 5, 5]


def test_an_index_may_be_of_the_array_itself() -> None:
    for count in (999, 1500):
        with pydsm.Team(1) as team:
            A = team.array("A", count, int)
            A[:] = np.random.default_rng(1).integers(0, count, count)
            plain = np.array(A)
            np.add.at(plain, plain[: count - 1].copy(), 1)
            A.accumulate(A[: count - 1], 1)
            assert A.tolist() == plain.tolist()


def test_values_and_rows_may_be_of_another_mapping_of_the_array() -> None:
    A = pydsm.create("twice", 500, int)
    A[:] = np.random.default_rng(1).integers(0, 500, 500)
    other = pydsm.attach("twice", readonly=True)
    plain = np.array(A)
    A.accumulate(None, other[::-1])
    plain += plain[::-1].copy()
    assert A.tolist() == plain.tolist()
    A[:] %= 500
    plain %= 500
    np.add.at(plain, plain[:499].copy(), 1)
    A.accumulate(np.asarray(other)[:499], 1)
    assert A.tolist() == plain.tolist()
    pydsm.unlink("twice")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (10, 0)], ids=str)
def test_an_array_without_elements_has_no_rows_that_it_has_not(shape: tuple[int, ...]) -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", shape, int)
        for key in ([99], np.array([99]), 99):
            with pytest.raises(IndexError, match="row 99 is out of range"):
                A.accumulate(key, 1)
        A.accumulate([], 1)
        A.accumulate(None, 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_values_that_change_the_array_are_noticed() -> None:
    class Meddler:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            A.dtype = np.float64
            return np.ones(1, np.int64)

    with pydsm.Team(1) as team:
        A = team.array("A", 4, np.int64)
        with pytest.raises(TypeError, match="has no 'or': its elements are floats"):
            A.accumulate([0], Meddler(), "or")
        assert not A.any()


def test_a_view_without_an_axis_takes_all_of_it() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 3, int)
        A[1:2].reshape(()).accumulate(None, 4)
        A[1:2].reshape(()).accumulate(..., 3, "max")
        assert A.tolist() == [0, 4, 0]
        with pytest.raises(IndexError, match="has no axis to take rows 0 of"):
            A[1:2].reshape(()).accumulate(0, 1)


REFUSED: list[tuple[str, type[Exception], str]] = [
    ("A.accumulate([10], 1)", IndexError, "row 10 is out of range for array 'A' with 10 rows"),
    ("A.accumulate(10, 1)", IndexError, "row 10 is out of range"),
    ("A.accumulate([0.5], 1)", TypeError, "rows are an int, a slice"),
    ("A.accumulate('x', 1)", TypeError, "rows are an int, a slice"),
    ("A.accumulate((0, 1), 1)", TypeError, "rows are an int, a slice"),
    ("A.accumulate(True, 1)", TypeError, "rows are an int, a slice"),
    ("A.accumulate([[0]], 1)", TypeError, "rows are an int, a slice"),
    ("A.accumulate([True] * 9, 1)", IndexError, "mask of shape (9,) does not fit"),
    ("A.accumulate(np.array([2**64 - 1], 'u8'), 1)", IndexError, "row 18446744073709551615 is out of range"),
    ("A.accumulate([0, 1], [1, 2, 3])", ValueError, "values of shape (3,) do not broadcast to the shape (2,)"),
    ("M.accumulate(0, [1, 2])", ValueError, "do not broadcast to the shape (3,) of rows of array 'M'"),
    ("A.accumulate(0, 0.5)", TypeError, "values of dtype float64 cannot be combined with array 'A' of dtype int64"),
    ("A.accumulate(0, 'x')", TypeError, "cannot be combined"),
    ("U.accumulate(0, 256)", OverflowError, "values do not fit array 'U' of dtype uint8"),
    ("U.accumulate([0, 1], [1, -1])", OverflowError, "-1"),
    ("A.accumulate(0, 1, 'sub')", ValueError, "op is one of 'add', 'mul'"),
    ("A.accumulate(0, 1, np.add)", TypeError, "op is one of 'add', 'mul'"),
    ("M.accumulate(0, 1.0, 'or')", TypeError, "its elements are floats"),
    ("B.accumulate(0, True)", TypeError, "array 'B' of dtype bool has no 'add': it has 'and'"),
    ("C.accumulate(0, 1)", TypeError, "dtype complex128 is none of"),
    ("S.accumulate(0, 1)", TypeError, "in this machine's byte order"),
    ("P['b'].accumulate(0, 1)", TypeError, "not aligned"),
    ("G.accumulate(0, 1)", ValueError, "array 'G' is read-only here; it is guarded"),
    ("A[[0, 1]].accumulate(0, 1)", TypeError, "private copy"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[call for call, _, _ in REFUSED])
def test_what_cannot_be_is_refused_in_a_sentence_and_changes_nothing(call: str, error: type, text: str) -> None:
    check_refusal(call, error, text)
