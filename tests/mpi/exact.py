"""A program for ranks whose result is known: updates of all kinds from all workers, ``exact.py TURNS``."""

from __future__ import annotations

import sys

import numpy as np

import pydsm

ROWS = 64


def program(worker: pydsm.Worker, turns: int) -> int:
    A, columns, atomics = worker["A"], worker["columns"], worker["atomics"]
    rows = np.random.default_rng(worker.rank).integers(ROWS, size=turns).tolist()
    for turn, row in enumerate(rows):
        with A.locked(row):
            A[row] += 1
        with A.locked(0):
            A[0] += 1
        with columns.locked(turn % len(columns)) as mine:
            mine[worker.rank] += 1
        if turn % 4 == 0:
            atomics.fetch_add(0, 1)
            atomics.accumulate(np.arange(ROWS), 1)
    worker.barrier()
    columns.fence()
    return int(columns[:, worker.rank].sum())


def main(turns: int) -> None:
    with pydsm.Team() as team:
        A, atomics = team.array("A", ROWS, int), team.array("atomics", ROWS, int)
        team.array("columns", (3, team.size), np.uint8)
        seen = team.run(program, turns)
        some = team.size * -(-turns // 4)
        assert seen == [turns] * team.size, seen
        assert A.sum() == 2 * team.size * turns, A
        assert atomics.tolist() == [2 * some, *[some] * (ROWS - 1)], atomics
        print(f"exact: {team.size} workers, {turns} turns")


if __name__ == "__main__":
    main(int(sys.argv[1]))
