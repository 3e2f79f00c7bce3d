"""Copies in bulk, `get` and `put`, against NumPy; on rank 0 of an MPI job (`inside`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pydsm
from tests.mpi.litmus import _no_leaks, team

__all__ = ["_no_leaks", "team"]

LARGE = 1 << 18  # of 8 bytes: several pieces


def key_among(random: np.random.Generator, rows: np.ndarray, count: int) -> Any:
    """Return a key of some of these rows: a row, a run, every n-th one, some in any order, a mask."""
    kind = random.integers(6)
    place = int(random.integers(len(rows)))
    if kind == 0:
        return int(rows[place]) - count * int(random.integers(2))
    if kind == 1:  # as far as they are neighbours
        stop = place + 1
        while stop < len(rows) and rows[stop] == rows[stop - 1] + 1:
            stop += 1
        return slice(int(rows[place]), int(rows[stop - 1]) + 1)
    some = random.choice(rows, random.integers(1, len(rows) + 1))
    if kind == 2:
        mask = np.zeros(count, bool)
        mask[some] = True
        return mask
    if kind == 3:  # of equal distances, if that is what they have, backwards
        step = int(rows[1] - rows[0]) if len(rows) > 1 else 1
        below = int(rows[0]) - 1 if rows[0] else None
        return slice(int(rows[-1]), below, -step) if (np.diff(rows) == step).all() else some.tolist()
    return some if kind == 4 else (np.unique(some) - count).tolist()


def value_of(turn: int, shape: tuple[int, ...], dtype: str, rank: int) -> np.ndarray:
    """Return elements that say who wrote them when."""
    items = np.zeros(shape, dtype)
    if items.dtype.kind == "V":
        items.view("u1").reshape(*shape, items.itemsize)[...] = (turn * 7 + rank) % 251
    else:
        items[...] = (turn * 7 + rank) % 251
    return items


@pytest.mark.parametrize("every", [1, 3, 40])
@pytest.mark.parametrize("dtype", ["u1", "i8", "c16", "V12"])
def test_rows_of_many_owners_are_what_their_owner_wrote_last(team: pydsm.Team, dtype: str, every: int) -> None:
    """Every worker owns runs of rows among those of others, and writes and reads them in all ways at random."""

    def program(worker: pydsm.Worker) -> tuple[list[str], np.ndarray]:
        A, wrong = worker["A"], []
        random = np.random.default_rng([worker.rank, every])
        mine = np.flatnonzero(np.arange(len(A)) // every % worker.size == worker.rank)
        model = np.array(A)
        for turn in range(1, 60):
            key = key_among(random, mine, len(A))
            value = value_of(turn, model[key].shape, dtype, worker.rank)
            model[key] = value
            how = int(random.integers(4))
            if how == 0:
                A[key] = value
            elif how == 1:
                with A.locked(key) as rows:
                    if isinstance(key, (int, slice)):
                        rows[...] = value
                    else:
                        A[key] = value
            else:
                A.put(key, value)
            if A[mine].tobytes() != model[mine].tobytes():
                wrong.append(f"turn {turn}: my own rows after a write by way {how} of {key}")
            if random.integers(5) == 0:
                A.fence()
            key = key_among(random, mine, len(A))
            if A.get(key).tobytes() != model[key].tobytes() or A.get(key).shape != model[key].shape:
                wrong.append(f"turn {turn}: get({key}) after a write by way {how}")
            everything = A.get()
            if everything[mine].tobytes() != model[mine].tobytes():
                wrong.append(f"turn {turn}: get() after a write by way {how}")
        worker.barrier()
        after = np.array(A)
        if A.get().tobytes() != after.tobytes():
            wrong.append("get() after the barrier")
        return wrong, model[mine]

    A = team.array("A", (40 * team.size, 3), dtype, stripes=7)
    results = team.run(program)
    assert [wrong for wrong, _ in results] == [[]] * team.size
    for rank, (_, rows) in enumerate(results):
        mine = np.arange(len(A)) // every % team.size == rank
        assert np.array(A[mine]).tobytes() == rows.tobytes()


def test_neighbouring_elements_of_one_row_are_put_at_the_same_time(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, wrong = worker["A"], 0
        width = A.shape[1] // worker.size
        mine = slice(worker.rank * width, (worker.rank + 1) * width)
        for turn in range(1, 100):
            row = A[turn % len(A)]
            row.put(mine, np.arange(width) + turn)
            wrong += int((row.get(mine) != np.arange(width) + turn).any())
            A[(turn + 1) % len(A), mine] = turn  # and plainly
            wrong += int((A.get((turn + 1) % len(A))[mine] != turn).any())
        worker.barrier()
        return wrong

    A = team.array("A", (3, 5 * team.size), np.uint8)
    assert team.run(program) == [0] * team.size
    assert np.array_equal(A[0], np.tile(np.arange(5) + 99, team.size))
    assert (A[1] == 99).all()


def test_what_was_put_is_complete_and_what_was_told_is_got(team: pydsm.Team) -> None:
    """Who learns of it through a region of another array finds it at home: A itself is never fenced."""

    def program(worker: pydsm.Worker) -> int:
        A, turn_of, wrong = worker["A"], worker["turn"], 0
        mine = slice(worker.rank * 50, (worker.rank + 1) * 50)
        for turn in range(1, 20):
            A.put(mine, turn)
            with turn_of.locked(0):
                turn_of[0] += 1
            while True:
                with turn_of.locked(0, shared=True):
                    if turn_of[0] >= turn * worker.size:
                        break
            wrong += int((A.get() < turn).any())
        return wrong

    team.array("A", 50 * team.size, int)
    team.array("turn", 1, int)
    assert team.run(program) == [0] * team.size


def test_large_rows_arrive_whole_beside_small_ones(team: pydsm.Team) -> None:
    """Each worker puts and gets several pieces at a time to all homes, while others write between them."""

    def program(worker: pydsm.Worker) -> list[str]:
        A, wrong = worker["A"], []
        own = np.zeros(len(A), bool)
        own[worker.rank :: worker.size] = True
        for turn in range(1, 4):
            A[worker.rank :: worker.size] = turn
            A.put(slice(worker.rank, None, worker.size), np.flatnonzero(own) * turn)
            if not np.array_equal(A.get(own), np.flatnonzero(own) * turn):
                wrong.append(f"turn {turn}: what was put")
            A[worker.rank :: 3 * worker.size] = -turn
            found = A.get()
            model = np.flatnonzero(own) * turn
            model[::3] = -turn
            if not np.array_equal(found[own], model):
                wrong.append(f"turn {turn}: what was written")
        worker.barrier()
        half = len(A) // worker.size
        if worker.rank == worker.size - 1:
            A.put(slice(0, half), np.arange(half))
            A.put(slice(half, None), np.arange(half, len(A), dtype=np.float32))
        worker.barrier()
        mine = np.zeros(len(A), A.dtype)
        if A.get(out=mine) is not mine or not np.array_equal(mine, A):
            wrong.append("get into an array")
        if not np.array_equal(A.get(), np.arange(len(A))):
            wrong.append("the whole")
        if not np.array_equal(A.get(slice(None, None, -1)), np.arange(len(A))[::-1]):
            wrong.append("backwards")
        return wrong

    team.array("A", LARGE, np.int64)
    assert team.run(program) == [[]] * team.size


def test_elements_are_never_torn(team: pydsm.Team) -> None:
    """Both halves of an element are written at once, and never seen or stored apart."""

    def program(worker: pydsm.Worker) -> int:
        A, torn = worker["A"], 0
        both = np.uint64(1 << 32 | 1)
        writers = worker.rank % 2 == 0
        for turn in range(1, 15):
            if writers:
                for value in range(turn * 100, turn * 100 + 20):
                    A[:] = np.uint64(value) * both
                A.put(slice(7, None), np.full(len(A) - 7, turn, np.uint64) * both)
            else:
                for found in (A.get(), A.get(slice(1, None, 2))):  # NumPy's own copies go by memcpy, which cuts
                    torn += int(((found >> np.uint64(32)) != (found & np.uint64(0xFFFFFFFF))).any())
        worker.barrier()
        return torn + int(((A >> np.uint64(32)) != (A & np.uint64(0xFFFFFFFF))).any())

    team.array("A", LARGE // 2 + 3, np.uint64)
    assert team.run(program) == [0] * team.size


def test_values_of_all_kinds_are_put_as_numpy_sets_them(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        A, B, wrong = worker["A"], worker["B"], []
        model = np.zeros(A.shape, A.dtype)
        A.put(None, 0)
        cases: list[tuple[Any, Any]] = [
            (None, 3),
            (slice(2, 9), [1, 2, 3, 4]),
            (..., np.arange(4.9, 8)),
            (slice(3, 3), 5),
            (slice(5, 9, 7), 6),
            ([], 5),
            ([4, 4, 1], np.arange(12).reshape(3, 4)),
            (-1, (9, 8, 7, 6)),
            (slice(None, None, 2), np.arange(2 * len(A))[::4].reshape(-1, 1)),
            (range(8, 2, -2), np.ones((3, 4), order="F")),
            (np.array([True, False] * (len(A) // 2)), np.float32(2.5)),
            (5, np.ones((1, 4))),
        ]
        for key, values in cases:
            rows = slice(None) if key is None else key
            model[rows] = values
            A.put(key, values)
            if not np.array_equal(A, model) or not np.array_equal(A.get(), model):
                wrong.append(f"put({key}, {values})")
            for out in (
                np.full_like(got_before := A.get(key), -7),
                np.full((*got_before.shape, 2), -7, A.dtype)[..., 1],
            ):
                if A.get(key, out=out) is not out or not np.array_equal(out, model[rows]):
                    wrong.append(f"get({key}) into an array")
            got = A.get(key)
            if not np.array_equal(got, model[rows]) or got.dtype != A.dtype or type(got) is not np.ndarray:
                wrong.append(f"get({key})")
        A.put(slice(1, 9), A[0:8])  # rows onto themselves
        model[1:9] = model[0:8].copy()
        A[2:6].put(slice(1, 3), 77)  # a view
        model[3:5] = 77
        A[:, 1].put([0, 2], -1)
        model[[0, 2], 1] = -1
        if not np.array_equal(A.get(), model) or not np.array_equal(A[:, 1].get(slice(0, 4)), model[:4, 1]):
            wrong.append("views")
        A.get(slice(0, 4), out=worker["C"])  # shared memory
        if not np.array_equal(worker["C"], model[:4]):
            wrong.append("get into a shared array")
        try:
            A.get(out=np.zeros(A.shape, float))
            wrong.append("get into an array of another type")
        except ValueError:
            pass
        for refused, key, values in (
            (IndexError, len(A), 1),
            (IndexError, [0, -len(A) - 1], 1),
            (ValueError, slice(0, 3), [1, 2, 3]),
            (OverflowError, 0, 1 << 70),
        ):
            try:
                A.put(key, values)
            except refused:
                continue
            wrong.append(f"put({key}, {values}) is no {refused.__name__}")
        B.put(1, (7, 2.5))
        B.put(slice(2, None), np.array([(1, 0.5)], B.dtype))
        if B.get([1, 2]).tolist() != [(7, 2.5), (1, 0.5)]:
            wrong.append("items of several fields")
        return wrong

    team.array("A", (10 * team.size, 4), np.int32)
    team.array("B", 20 * team.size, "i4,f8")
    team.array("C", (4, 4), np.int32)
    for rank in range(team.size):
        assert team.run(lambda worker, rank: program(worker) if worker.rank == rank else [], rank) == [[]] * team.size


def test_fields_have_owners(team: pydsm.Team) -> None:
    """Some workers write one field, some the other: a field is an element of its own."""

    def program(worker: pydsm.Worker) -> int:
        A, wrong = worker["A"], 0
        name = ("x", "y")[worker.rank % 2]
        mine = A[name][worker.rank // 2 :: len(range(worker.rank % 2, worker.size, 2))]
        for turn in range(1, 40):
            mine[...] = turn
            if turn % 3 == worker.rank % 3:
                A.fence()
            found = A.get()[name][worker.rank // 2 :: len(range(worker.rank % 2, worker.size, 2))]
            wrong += int((found != turn).any()) + int((mine != turn).any())
        worker.barrier()
        return wrong

    A = team.array("A", 6 * team.size, [("x", "f8"), ("y", "i4")])
    assert team.run(program) == [0] * team.size
    assert (A["x"] == 39).all()
    assert (A["y"] == 39).all() or team.size == 1
