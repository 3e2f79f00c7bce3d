"""Life, by several workers: a start, which is right for one worker only.

The checker says what is wrong: ``python docs/lessons/project/check.py docs/lessons/project/start.py``.
"""

import numpy as np


def generation(cells):
    """Return the next generation of all rows but the first and the last, which are there as neighbours."""
    around = sum(
        np.roll(cells.astype(int), (down, right), axis=(0, 1))
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if down or right
    )
    return ((around == 3) | (cells & (around == 2)))[1:-1]


def life(worker, turns):
    """Compute this worker's rows of each generation."""
    board, living = worker["board"], worker["living"]
    mine = worker.split(len(board))
    living[0] += board[mine.start : mine.stop].sum()
    for turn in range(turns):
        rows = np.arange(mine.start - 1, mine.stop + 1) % len(board)
        board[mine.start : mine.stop] = generation(board[rows])
        living[turn + 1] += board[mine.start : mine.stop].sum()
