"""Programs with arrays that are large for the nodes' memory; run on rank 0 of an MPI job (`inside`)."""

from __future__ import annotations

import os

import numpy as np
import pytest

import pydsm
from pydsm.ipc import shm
from tests.mpi.litmus import _no_leaks, team

__all__ = ["_no_leaks", "team"]

ROWS = 1 << 26
"""Of 8 bytes each: half a gigabyte."""


def files_of(team: pydsm.Team, array: str = "") -> dict[str, int]:
    """Return what a team has in shared memory on all the nodes that pretend to be some, and what memory it takes."""
    found = {}
    for file in os.listdir("/dev/shm"):
        if f"pydsm.{team.namespace}" in file and file.endswith(array):
            found[file] = os.stat(f"/dev/shm/{file}").st_blocks * 512
    return found


def test_an_array_of_which_little_is_touched_takes_little_on_any_node(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[float]:
        A = worker["A"]
        mine = [worker.rank, ROWS // 2 + 5000 * worker.rank, ROWS - 1 - 9000 * worker.rank]
        for turn in range(3):
            with A.locked(mine[0]):
                A[mine[0]] += 1
            A[mine[1]] = turn + 1
            A.fence()
            A.fetch_add(mine[2], 1)
            worker.barrier()
        with A.locked(slice(0, None), shared=True):
            seen = [int(A[row]) for row in mine]
        with worker["lock"]:
            A[mine[1]] += 1
        for begin in (ROWS // 4, 3 * (ROWS // 4)):  # at home and elsewhere; nobody has written there
            assert not A.get(slice(begin, begin + (1 << 20))).any()
        return seen

    A = team.array("A", ROWS, np.int64)
    team.lock("lock")
    seen = team.run(program)
    assert seen == [[3, 3, 3]] * team.size
    assert [int(A[ROWS // 2 + 5000 * rank]) for rank in range(team.size)] == [4] * team.size
    if team._crew is not None and team._crew.nodes > 1:
        assert sum(files_of(team, "data.A").values()) < ROWS * 8 // 200
        assert sum(files_of(team, "twin.A").values()) < ROWS * 8 // 200
        assert sum(files_of(team, "versions.A").values()) < ROWS * 8 // 200


def test_an_array_without_room_is_a_memory_error_wherever_it_is_made_and_leaves_nothing(team: pydsm.Team) -> None:
    too_large = shm._free() // 8 * 2

    def program(worker: pydsm.Worker, rows: int) -> str:
        said = ""
        for maker in range(worker.size):
            if worker.rank == maker:
                try:
                    pydsm.create(f"B{maker}", rows)
                except MemoryError as error:
                    said = str(error)
            worker.barrier()
        worker["A"].fetch_add(0, 1)
        return said

    A = team.array("A", 3, int)
    before = set(files_of(team))
    with pytest.raises(MemoryError, match=r"\d+ bytes"):
        team.array("B", too_large)
    assert set(files_of(team)) == before
    said = team.run(program, too_large)
    assert all("bytes" in sentence for sentence in said), said
    assert {file for file in files_of(team) if ".B" in file} == set()
    assert A[0] == team.size


def test_what_is_promised_to_one_array_is_not_promised_to_another(team: pydsm.Team) -> None:
    if team._crew is None or team._crew.nodes == 1:
        return
    rows = int(shm._free() * 0.35) // 8
    team.array("A", rows)
    with pytest.raises(MemoryError, match="promised to other arrays"):
        team.array("B", rows)
    team.delete("A")
    team.array("C", rows)
