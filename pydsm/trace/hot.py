"""Which rows workers waited for most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pydsm.trace.events import Event, rows_text

__all__ = ["HotRows", "hottest"]


class HotRows(NamedTuple):
    """Rows that were always asked for together, and what came of it.

    Attributes
    ----------
    array : str
    start, stop : int
        The rows; both 0 for a named lock.
    waited, held : int
        Nanoseconds of all workers, for all regions that the rows were in.
    taken : int
        How many regions.
    """

    array: str
    start: int
    stop: int
    waited: int
    held: int
    taken: int

    def __str__(self) -> str:
        return f"{self.array}[{rows_text(((self.start, self.stop),))}]" if self.stop else self.array


def hottest(events: Sequence[Event], count: int) -> list[HotRows]:
    """Return the rows that were waited for longest, the worst first.

    A region's wait counts in full for each of its rows: one lock word was the one that it
    had to wait for, but which is not known.
    """
    asked: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for event in events:
        if event.kind == "lock":
            for part in event.parts:
                for start, stop in part.rows or ((0, 0),):
                    asked[part.array].append((start, stop, event.waited, event.held))
    rows = [hot for array, regions in asked.items() for hot in _of_array(array, regions)]
    return sorted(rows, key=lambda hot: (-hot.waited, -hot.taken, hot[:3]))[:count]


def _of_array(array: str, regions: list[tuple[int, int, int, int]]) -> list[HotRows]:
    table = np.array(regions, np.int64)
    if not table[:, 1].any():
        return [HotRows(array, 0, 0, int(table[:, 2].sum()), int(table[:, 3].sum()), len(table))]
    bounds, places = np.unique(table[:, :2], return_inverse=True)
    places = places.reshape(-1, 2)
    change = np.zeros((len(bounds), 3), np.int64)
    worth = np.column_stack([table[:, 2], table[:, 3], np.ones(len(table), np.int64)])
    np.add.at(change, places[:, 0], worth)
    np.add.at(change, places[:, 1], -worth)
    sums = np.cumsum(change, axis=0)[:-1]
    return [
        HotRows(array, int(start), int(stop), *map(int, row))
        for start, stop, row in zip(bounds[:-1], bounds[1:], sums, strict=True)
        if row[2]
    ]
