"""Life, by several workers, with one barrier in each turn."""

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
    old, new, living = worker["board"], worker["next"], worker["living"]
    mine = worker.split(len(old))
    rows = np.arange(mine.start - 1, mine.stop + 1) % len(old)
    own = slice(mine.start, mine.stop)
    living.fetch_add(0, int(old[own].sum()))  # one step: no worker's count is lost
    for turn in range(turns):
        new[own] = generation(old[rows])
        living.fetch_add(turn + 1, int(new[own].sum()))
        # New rows are there before a neighbour reads them, and old ones are read before they are written.
        worker.barrier()
        old, new = new, old
    if turns % 2:  # the last generation is in `next`; everybody is through with `board`
        new[own] = old[own]
