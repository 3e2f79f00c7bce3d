from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import pydsm
from tests.test_locked import Holder, is_free


@pytest.fixture
def arrays() -> Iterator[tuple[pydsm.GlobalArray, pydsm.GlobalArray]]:
    yield pydsm.create("A", 6, int), pydsm.create("B", 6, int)
    pydsm.unlink("A")
    pydsm.unlink("B")


def test_all_regions_are_held_and_all_are_left(arrays) -> None:
    A, B = arrays
    with pydsm.locked((B, 2), (A, slice(0, 2)), (B, [0, 5])) as (b, a, whole):
        assert [A.holds(slice(0, 2)), B.holds([0, 2, 5])] == [True, True]
        assert is_free(B, 1)
        b += 1
        a += 2
        assert whole is B
    assert (A.tolist(), B.tolist()) == ([2, 2, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0])
    assert is_free(A)
    assert is_free(B)
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 1


def test_what_cannot_be_had_in_time_leaves_nothing_held(arrays) -> None:
    A, B = arrays
    with Holder(B.locked(3)):
        with pytest.raises(pydsm.LockTimeoutError, match="array 'B'"), pydsm.locked((A, None), (B, None), timeout=0.05):
            pass
        assert is_free(A)
    assert is_free(B)


def test_no_region_is_held_before_all_arguments_are_read(arrays) -> None:
    A, B = arrays
    with pytest.raises(IndexError, match="array 'B'"):
        pydsm.locked((A, 0), (B, 6))
    with pytest.raises(TypeError, match="pairs"):
        pydsm.locked(A, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        pydsm.locked((A, 0), timeout=-2)
    assert is_free(A)


def test_no_region_at_all_is_an_empty_tuple() -> None:
    with pydsm.locked() as views:
        assert views == ()


def test_regions_in_any_order_never_deadlock() -> None:
    def program(worker: pydsm.Worker, rounds: int) -> None:
        arrays, dice = [worker["A"], worker["B"], worker["C"]], random.Random(worker.rank)
        for _ in range(rounds):
            chosen = [(dice.choice(arrays), dice.randrange(4)) for _ in range(3)]
            with pydsm.locked(*chosen):
                for array, row in {(array.name, row) for array, row in chosen}:
                    worker[array][row] += 1
        worker.barrier()

    rounds = 1500
    with pydsm.Team(4) as team:
        names = "ABC"
        for name in names:
            team.array(name, 4, int)
        team.run(program, rounds)
        expected = 0
        for rank in range(4):
            dice = random.Random(rank)
            for _ in range(rounds):
                expected += len({(dice.choice(names), dice.randrange(4)) for _ in range(3)})
        assert sum(team[name].sum() for name in names) == expected


def test_a_region_after_a_group_is_of_its_own_rows(arrays) -> None:
    A, B = arrays
    for rows in ([0, 2], slice(0, 4, 2)):
        with pydsm.locked((A, rows), (B, rows)):
            pass
        with A.locked(rows):
            pass
        with A.locked(1):
            assert [A.holds(row) for row in range(3)] == [False, True, False]
