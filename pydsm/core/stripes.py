"""Which lock words guard which rows, and the order in which they are taken.

Stripe s guards the rows ``s * block`` to ``(s + 1) * block``: neighbours share a
stripe, so a slice touches few.  Every region takes its stripes in ascending order, and
regions over several arrays take theirs in the order (array id, stripe): two workers
that each ask once can then never wait for each other (Havender, *Avoiding deadlock in
multitasking systems*, 1968).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pydsm.core.region import Intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_STRIPES", "block_size", "stripes_of"]

DEFAULT_STRIPES = 512
"""Most stripes an array gets unless told: docs/locks.md has the measurement."""


def block_size(rows: int, stripes: int | None) -> int:
    """Return how many neighbouring rows share a stripe.

    Examples
    --------
    >>> block_size(500, None), block_size(10_000, None), block_size(10, 3)
    (1, 20, 4)
    """
    wanted = DEFAULT_STRIPES if stripes is None else stripes
    return max(1, -(-rows // wanted))


def stripes_of(intervals: Intervals, block: int) -> NDArray[np.intp]:
    """Return the ascending numbers of the stripes that guard the rows.

    Examples
    --------
    >>> import numpy as np
    >>> stripes_of(np.array([[0, 3], [9, 10]]), block=4).tolist()
    [0, 2]
    """
    if len(intervals) == 0:
        return np.empty(0, np.intp)
    first = intervals[:, 0] // block
    stop = (intervals[:, 1] - 1) // block + 1
    base = int(first[0])
    edge = np.zeros(int(stop[-1]) - base + 1, np.intp)
    np.add.at(edge, first - base, 1)
    np.add.at(edge, stop - base, -1)
    return (np.flatnonzero(np.cumsum(edge)) + base).astype(np.intp)
