"""Where the home of each row is: stripes by block over the workers, and so over their nodes.

A stripe's lock word and its rows have the same home, so that one message asks for both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from pydsm.core.stripes import DEFAULT_STRIPES

__all__ = ["Homes", "stripes_for"]

_UNIT: Final = 1 << 14  # bytes: as much as two machines exchange in little more time than one byte
_MOST: Final = 1 << 20


def stripes_for(rows: int, nbytes: int) -> int:
    """Return how many stripes an array has: 512 as on one node, more if they would be too large to send.

    Examples
    --------
    >>> stripes_for(100, 800), stripes_for(1_000_000, 8_000_000), stripes_for(10_000_000, 80_000_000)
    (512, 512, 4883)
    """
    return min(_MOST, max(DEFAULT_STRIPES, min(rows, -(-nbytes // _UNIT))))


class Homes:
    """The homes of one array's stripes.

    Parameters
    ----------
    stripes : int
    counts : sequence of int
        How many workers each node has.

    Examples
    --------
    >>> homes = Homes(10, (2, 2))
    >>> homes.of_node(1), homes.of_worker(1), homes.node_of(4)
    (range(5, 10), range(2, 5), 0)
    """

    def __init__(self, stripes: int, counts: Sequence[int]) -> None:
        self.stripes = stripes
        self._size = sum(counts)
        self.bounds = [stripes * before // self._size for before in accumulate(counts, initial=0)]

    def node_of(self, stripe: int) -> int:
        """Return the node that is a stripe's home."""
        return bisect_right(self.bounds, stripe) - 1

    def of_node(self, node: int) -> range:
        """Return the stripes that a node is the home of."""
        return range(self.bounds[node], self.bounds[node + 1])

    def of_worker(self, worker: int) -> range:
        """Return the stripes that are a worker's own part."""
        return range(self.stripes * worker // self._size, self.stripes * (worker + 1) // self._size)
