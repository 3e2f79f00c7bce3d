"""The contract, once, for every memory: G1-G8 of docs/memory-model.md and the litmus programs.

A memory is tested by a module that makes a fixture `new_team(size, **options)` and imports
the tests from here.  Every program keeps the programmer's rule, so that it must give the
same result whatever the memory; hand-shakes go through barriers, never through sleeping.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import pydsm

NewTeam = Callable[..., pydsm.Team]
ROUNDS = 200


def test_g1_a_worker_sees_its_own_writes_at_once(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A = worker["A"]
        for value in range(ROUNDS):
            A[worker.rank] = value
            if A[worker.rank] != value:
                return False
        return True

    with new_team(2) as team:
        team.array("A", 2, int)
        assert team.run(program) == [True, True]


@pytest.mark.parametrize("rows", [3, slice(0, 8, 3), [3, 5], None, slice(None, None, -1)], ids=repr)
def test_g2_overlapping_exclusive_regions_exclude_each_other(new_team: NewTeam, rows: object) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        mine = 3 if worker.rank == 0 else rows  # different regions that overlap in row 3
        for _ in range(ROUNDS):
            with A.locked(mine):
                value = int(A[3])
                for _ in range(10):
                    pass
                A[3] = value + 1

    with new_team(2) as team:
        A = team.array("A", 8, int)
        team.run(program)
        assert A[3] == 2 * ROUNDS


def test_g2_disjoint_regions_are_held_at_the_same_time(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> None:
        with worker["A"].locked(worker.rank):
            worker.barrier()  # nobody would get here if they excluded each other

    with new_team(2) as team:
        team.array("A", 2, int)
        team.run(program)


def test_g2_shared_regions_admit_each_other_but_no_exclusive_one(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A = worker["A"]
        if worker.rank < 2:
            with A.locked(0, shared=True):
                worker.barrier()
                worker.barrier()
            worker.barrier()
            return True
        worker.barrier()
        try:
            with A.locked(0, timeout=0.02):
                had = True
        except pydsm.LockTimeoutError:
            had = False
        worker.barrier()
        worker.barrier()
        with A.locked(0, timeout=5):
            return not had

    with new_team(3) as team:
        team.array("A", 2, int)
        assert team.run(program) == [True, True, True]


def test_g2_a_shared_reader_never_sees_half_of_an_update(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, torn = worker["A"], 0
        for value in range(ROUNDS):
            if worker.rank == 0:
                with A.locked() as rows:
                    rows[0] = value
                    rows[1] = -value
            else:
                with A.locked(shared=True) as rows:
                    torn += int(rows[0] != -rows[1])
        return torn

    with new_team(3) as team:
        team.array("A", 2, int)
        assert team.run(program) == [0, 0, 0]


def test_g2_entry_shows_what_the_last_holder_wrote(new_team: NewTeam) -> None:
    """Lock hand-over: a token goes round; whoever has it finds the whole row written."""

    def program(worker: pydsm.Worker) -> bool:
        A, done, right = worker["A"], 0, True
        while done < ROUNDS // 4:
            with A.locked(0) as row:
                if row[0] % worker.size == worker.rank:
                    right &= bool((row == row[0]).all())
                    row += 1
                    done += 1
        return right

    with new_team(2) as team:
        team.array("A", (1, 64), int)
        assert team.run(program) == [True, True]


def test_g3_a_pair_of_fences_publishes_another_array(new_team: NewTeam) -> None:
    """A work queue and a fence: locking Q does not publish B, the fences do."""

    def program(worker: pydsm.Worker) -> bool:
        Q, B = worker["Q"], worker["B"]
        right = True
        for item in range(ROUNDS):
            if worker.rank == 0:
                B[item] = item + 1
                B.fence()
                with Q.locked(0):
                    Q[0] = item + 1
            else:
                while True:
                    with Q.locked(0):
                        known = int(Q[0])
                    if known > item:
                        break
                B.fence()
                right &= bool(B[item] == item + 1)
        return right

    with new_team(2) as team:
        team.array("Q", 1, int)
        team.array("B", ROUNDS, int)
        assert team.run(program) == [True, True]


def test_g3_regions_of_several_arrays_publish_them_together(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, B, torn = worker["A"], worker["B"], 0
        pairs = [(A, 0), (B, slice(0, 2))]
        for _ in range(ROUNDS):
            with pydsm.locked(*(pairs if worker.rank else reversed(pairs))):
                torn += int(A[0] != B[0])
                A[0] += 1
                B[0] += 1
        return torn

    with new_team(2) as team:
        A, B = team.array("A", 3, int), team.array("B", 3, int)
        assert team.run(program) == [0, 0]
        assert A[0] == B[0] == 2 * ROUNDS


def test_g4_a_barrier_shows_all_writes_before_it(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, B, right = worker["A"], worker["B"], True
        for value in range(1, ROUNDS):
            A[worker.rank] = value
            B[worker.rank] = -value
            worker.barrier()
            right &= bool((value == A).all() and (-value == B).all())
            worker.barrier()
        return right

    with new_team(3) as team:
        team.array("A", 3, int)
        team.array("B", (3, 2), float)
        assert team.run(program) == [True] * 3


def test_g4_start_and_join_are_edges_with_the_parent(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        value = int(worker["A"][worker.rank])
        worker["A"][worker.rank] = value + 1
        return value

    with new_team(2) as team:
        A = team.array("A", 2, int)
        for value in range(0, 20, 2):
            A[:] = value
            assert team.run(program) == [value, value]
            assert A.tolist() == [value + 1, value + 1]


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "f4", "f8"])
def test_g5_atomic_additions_are_all_counted(new_team: NewTeam, dtype: str) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        worker.barrier()
        for turn in range(100):
            A.fetch_add((0, turn % 2), 1)
            A.accumulate([0, 1, 1], np.ones((3, 2), dtype))

    with new_team(2) as team:
        A = team.array("A", (2, 2), dtype)
        team.run(program)
        expected = np.array([[300, 300], [400, 400]]).astype(dtype)
        assert A.tolist() == expected.tolist()


def test_g5_a_release_publishes_all_arrays_to_who_acquires(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        data, other, turn, stale = worker["data"], worker["other"], worker["turn"], 0
        for value in range(1, ROUNDS + 1):
            if worker.rank == 0:
                data[:], other[:] = value, -value
                turn.store_release(0, value)
                turn.wait_until(1, "==", value)
            else:
                turn.wait_until(0, ">=", value)
                stale += int((data != value).any() or (other != -value).any())
                turn.fetch_add(1, 1)
        return stale

    with new_team(2) as team:
        team.array("data", 100, int)
        team.array("other", (3, 3))
        team.array("turn", 2, int)
        assert team.run(program) == [0, 0]


def test_g5_all_atomic_operations_happen_in_one_order(new_team: NewTeam) -> None:
    """Store buffering (Dekker): at least one of two sees the other's store."""

    def program(worker: pydsm.Worker) -> list[int]:
        X, mine, seen = worker["X"], worker.rank, []
        for turn in range(ROUNDS):
            X.store_release((turn, mine), 1)
            seen.append(X.load_acquire((turn, 1 - mine)))
            worker.barrier()
        return seen

    with new_team(2) as team:
        team.array("X", (ROUNDS, 2), int)
        zero, one = team.run(program)
        assert all(a or b for a, b in zip(zero, one, strict=True))


def test_g5_one_of_two_that_swap_wins(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, won = worker["A"], 0
        for turn in range(ROUNDS):
            won += A.compare_and_swap(turn, 0, worker.rank + 1)
            worker.barrier()
        return won

    with new_team(2) as team:
        A = team.array("A", ROUNDS, int)
        assert sum(team.run(program)) == ROUNDS
        assert (A != 0).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8, bool])
def test_g6_neighbouring_bytes_belong_to_different_workers(new_team: NewTeam, dtype: type) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, right = worker["A"], True
        for turn in range(ROUNDS):
            A[worker.rank :: worker.size] = turn % 2
            right &= bool((A[worker.rank :: worker.size] == turn % 2).all())
        return right

    with new_team(2) as team:
        team.array("A", 16, dtype)
        assert team.run(program) == [True, True]


def test_g6_interleaved_columns_belong_to_different_workers(new_team: NewTeam) -> None:
    """Column owners under row locks, beside each other in every row."""

    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(ROUNDS):
            with A.locked(turn % 4) as row:
                row[worker.rank :: worker.size] += 1

    with new_team(2) as team:
        A = team.array("A", (4, 6), int)
        team.run(program)
        assert (A == ROUNDS // 4).all()


def test_g6_signed_zeros_and_nans_arrive_as_they_are(new_team: NewTeam) -> None:
    payload = np.array([0x7FF8000000000123], np.uint64).view(float)[0]

    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        with A.locked(worker.rank):
            A[worker.rank] = -0.0 if worker.rank == 0 else payload

    with new_team(2) as team:
        A = team.array("A", 3, float)
        team.run(program)
        assert np.signbit(A[0])
        assert np.array(A).view(np.uint64)[1] == 0x7FF8000000000123
        assert np.array(A).view(np.uint64)[2] == 0


def test_g7_a_racing_read_returns_a_value_that_was_written(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, known = worker["A"], {0, -1, 0x0123456789ABCDEF}
        if worker.rank == 0:
            for turn in range(20 * ROUNDS):
                A[0] = -1 if turn % 2 else 0x0123456789ABCDEF
            return True
        return all(int(A[0]) in known for _ in range(20 * ROUNDS))

    with new_team(2) as team:
        team.array("A", 1, np.int64)
        assert team.run(program) == [True, True]


def test_a_view_held_across_a_synchronisation_stays_the_array(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, right = worker["A"], True
        view = A[1:3]
        for value in range(ROUNDS):
            if worker.rank == 0:
                with A.locked(1):
                    A[1] = value
            worker.barrier()
            right &= bool(view[0] == value)
            worker.barrier()
        return right

    with new_team(2) as team:
        team.array("A", 4, int)
        assert team.run(program) == [True, True]


def test_guarded_rows_can_only_be_written_inside_their_region(new_team: NewTeam) -> None:
    def program(worker: pydsm.Worker) -> str:
        A = worker["A"]
        for _ in range(ROUNDS):
            with A.locked(worker.rank) as row:
                row += 1
        try:
            A[0] = 7
        except ValueError as error:
            return str(error)
        return "written"

    with new_team(2) as team:
        A = team.array("A", 2, int, access="guarded")
        assert ["read-only" in said for said in team.run(program)] == [True, True]
        assert A.tolist() == [ROUNDS, ROUNDS]
