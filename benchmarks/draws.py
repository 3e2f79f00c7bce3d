"""Random rows that are wanted unequally."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["zipf"]

_STEP = 2_654_435_761  # prime: carries neighbours in rank to places far apart


def zipf(seed: int, rows: int, count: int, exponent: float) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return `count` row numbers; the k-th most wanted row has a share that falls as k to the -`exponent`.

    Exponent 0 is uniform.  Which rows are the wanted ones does not depend on the seed, and
    they are spread over the whole array, so that they are not in one cache line.
    """
    random = np.random.default_rng(seed)
    if exponent == 0:
        return random.integers(rows, size=count)
    shares = np.cumsum(np.arange(1, rows + 1, dtype=float) ** -exponent)
    ranks = np.searchsorted(shares, random.random(count) * shares[-1])
    return ranks * _STEP % rows
