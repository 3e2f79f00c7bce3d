from __future__ import annotations

import pytest

import pydsm
from tests import programs

ROWS = 37


@pytest.mark.parametrize(
    ("start", "stripes", "operations"),
    [
        ("fork", None, 30_000),
        ("fork", 5, 10_000),
        ("fork", 1, 5_000),
        ("spawn", None, 10_000),
        ("forkserver", 7, 5_000),
    ],
)
def test_every_increment_of_four_workers_arrives(start: str, stripes: int | None, operations: int) -> None:
    with pydsm.Team(4, start=start) as team:
        A = team.array("A", ROWS, int, stripes=stripes)
        B = team.array("B", ROWS, int, stripes=stripes)
        C = team.array("C", 1, int)
        team.lock("lock")
        team.run(programs.count_randomly, operations)
        a, b, c = programs.expected_counts(4, ROWS, operations)
        assert A.tolist() == a.tolist()
        assert B.tolist() == b.tolist()
        assert C[0] == c
        assert A.statistics().held_exclusive == A.statistics().held_shared == 0


def test_without_a_lock_increments_are_lost() -> None:
    """The harness is not blind: the same loop without a region loses updates."""

    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        worker.barrier()
        for _ in range(50_000):
            A[0] += 1

    with pydsm.Team(4) as team:
        A = team.array("A", 1, int)
        for _ in range(5):
            A[0] = 0
            team.run(program)
            if A[0] < 200_000:
                return
    pytest.fail("no increment was lost without a lock: this machine cannot show a race")


def test_more_workers_than_cpus_do_not_hang() -> None:
    def program(worker: pydsm.Worker) -> None:
        for _ in range(200):
            with worker["A"].locked(0) as row:
                row += 1
            worker.barrier()

    with pydsm.Team(16) as team:
        A = team.array("A", 2, int)
        team.run(program)
        assert A[0] == 16 * 200
