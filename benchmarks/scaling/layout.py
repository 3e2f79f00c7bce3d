"""A job as the model has it: which ranks, which arrays, and where the rows are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

__all__ = ["Array", "Job"]

_DEFAULT: Final = 512
_MOST: Final = 1 << 20
_UNIT: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Array:
    """An array: so many rows of so many bytes.

    Examples
    --------
    >>> Array(10_000_000, 8).all_stripes, Array(100, 8, stripes=10).all_stripes
    (4883, 10)
    """

    rows: int
    row_bytes: int
    item_bytes: int = 8
    stripes: int = 0
    """How many were asked for; 0: as many as pydsm gives."""

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.row_bytes

    @property
    def all_stripes(self) -> int:
        """How many stripes there are: 512, or as many as keep them under 16 kB, up to 2**20."""
        return self.stripes or min(_MOST, max(_DEFAULT, min(self.rows, -(-self.nbytes // _UNIT))))

    @property
    def block(self) -> int:
        """Rows of a stripe."""
        return max(1, -(-self.rows // self.all_stripes))

    @property
    def stripe_bytes(self) -> int:
        """Bytes of a stripe."""
        return self.block * self.row_bytes


@dataclass(frozen=True, slots=True)
class Job:
    """Ranks and arrays.

    Attributes
    ----------
    counts : tuple of int
        Workers of each node; one rank more of each serves it.
    arrays : tuple of Array

    Examples
    --------
    >>> job = Job.of(4096, 16, Array(1 << 20, 8))
    >>> job.nodes, job.workers, job.ranks
    (256, 3840, 4096)
    >>> job.home_of(job.arrays[0], 0), job.home_of(job.arrays[0], (1 << 20) - 1)
    (0, 255)
    """

    counts: tuple[int, ...]
    arrays: tuple[Array, ...]

    @classmethod
    def of(cls, ranks: int, ranks_a_node: int, *arrays: Array) -> Job:
        """Return a job whose nodes all have as many ranks."""
        nodes = max(1, ranks // ranks_a_node)
        return cls((ranks_a_node - 1,) * nodes, arrays)

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.counts)

    @property
    def workers(self) -> int:
        """How many ranks work."""
        return sum(self.counts)

    @property
    def ranks(self) -> int:
        """How many ranks there are, with the servers."""
        return self.workers + self.nodes

    def bounds(self, array: Array) -> list[int]:
        """Return the first stripe of each node's share, and the number of all."""
        return [array.all_stripes * before // self.workers for before in accumulate(self.counts, initial=0)]

    def shares(self, array: Array) -> Sequence[int]:
        """Return how many stripes each node is the home of."""
        bounds = self.bounds(array)
        return [stop - start for start, stop in pairwise(bounds)]

    def stripe_of(self, array: Array, row: int) -> int:
        """Return the stripe of a row."""
        return row // array.block

    def home_of(self, array: Array, row: int) -> int:
        """Return the node that is a row's home."""
        return bisect_right(self.bounds(array), self.stripe_of(array, row)) - 1

    def all_known(self) -> list[list[int]]:
        """Return of how many stripes of each array each home is asked, when it is asked for everything."""
        return [list(each) for each in zip(*map(self.shares, self.arrays), strict=True)]

    def known(self, home: int) -> list[int]:
        """Return the same of one home."""
        return self.all_known()[home]
