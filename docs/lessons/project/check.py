"""Check a solution of the project: ``python docs/lessons/project/check.py my_life.py``."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import pydsm

SHAPES = [(12, 9, 2), (7, 5, 3), (2, 6, 3), (1, 4, 2)]
"""Rows, columns and workers; the third has a worker without rows."""
TURNS = (0, 2, 5)
SCHEDULES = 20


def first_generation(rows: int, columns: int) -> Any:
    return np.random.default_rng(rows * columns).random((rows, columns)) < 0.4


def by_numpy(board: Any, turns: int) -> tuple[Any, list[int]]:
    """Return the last generation, and how many cells live in each."""
    living = [int(board.sum())]
    for _ in range(turns):
        shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
        around = sum(np.roll(board.astype(int), shift, axis=(0, 1)) for shift in shifts)
        board = (around == 3) | (board & (around == 2))
        living.append(int(board.sum()))
    return board, living


def fault(life: Callable[..., Any], shape: tuple[int, int, int], turns: int, **options: Any) -> str:
    """Run it once; return what is wrong, or nothing."""
    rows, columns, size = shape
    start = first_generation(rows, columns)
    what = f"cells {rows} x {columns}, workers {size}, turns {turns}"
    said = io.StringIO()  # each race is reported there; one of them is enough
    with contextlib.redirect_stderr(said), pydsm.Team(size, **options) as team:
        board, _ = team.array("board", (rows, columns), bool), team.array("next", (rows, columns), bool)
        living = team.array("living", turns + 1, int)
        board[...] = start
        try:
            team.run(life, turns)
        except pydsm.WorkerError as error:
            return f"{what}: {str(error).splitlines()[0]}"
        right, counts = by_numpy(start, turns)
        if "check" in options and team.races:
            return f"{what}:\n{team.races[0]}"
        if not np.array_equal(board, right):
            return f"{what}: {int((board != right).sum())} cells are wrong"
        if living.tolist() != counts:
            return f"{what}: living is {living.tolist()}, and should be {counts}"
    return ""


def checks(life: Callable[..., Any]) -> Iterator[tuple[str, str, Iterator[str]]]:
    """Yield what is checked, where to read about it, and the faults of each run."""
    alone = [(rows, columns, 1) for rows, columns, _ in SHAPES]
    first = (fault(life, shape, turns, memory="coherent") for shape in alone for turns in TURNS)
    yield "one worker", "the rules of Life", first
    for memory, lesson in (("coherent", 10), ("release", 10), ("entry", 4)):
        runs = (fault(life, shape, turns, memory=memory) for shape in SHAPES for turns in TURNS)
        yield f"{memory} memory", f"lesson {lesson}", runs
    races = (fault(life, shape, turns, check="predict", memory="coherent") for shape in SHAPES for turns in TURNS)
    yield "no data races", "lessons 7 and 10", races
    schedules = (
        fault(life, SHAPES[1 + seed % 2], 2 + seed % 2, schedule=seed, check="predict", memory="coherent")
        for seed in range(SCHEDULES)
    )
    yield "every schedule", "lesson 8", schedules


def main(path: str) -> int:
    """Print a line for each check; return how many failed, at most 1."""
    try:
        life = runpy.run_path(path)["life"]
    except (OSError, KeyError):
        print(f"there is no function life(worker, turns) in {path}", file=sys.stderr)
        return 2
    failed = 0
    for what, lesson, runs in checks(life):
        wrong = next(filter(None, runs), "")
        print(f"{what:15} {'WRONG, see ' + lesson if wrong else 'right'}")
        if wrong:
            print("\n".join(f"    {line}" for line in wrong.splitlines()))
        failed += bool(wrong)
    print("all right" if not failed else f"{failed} of 6 checks failed")
    return min(failed, 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE, where FILE has a function life(worker, turns)")
    sys.exit(main(sys.argv[1]))
