"""The replicas of one worker by array id, and which of them nobody in it has mapped any more."""

from __future__ import annotations

from collections.abc import Iterable

from pydsm.memory.replica import Replica

__all__ = ["Replicas"]


class Replicas(dict[int, Replica]):
    """The replicas of one worker, by array id.

    Attributes
    ----------
    left : set of int
        Arrays that this process has let go, in whole or in part; added to at any time, so nothing is done there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left: set[int] = set()

    def all_left(self) -> list[int]:
        """Return the arrays that this process has let go altogether."""
        return [array_id for array_id in list(self.left) if array_id in self and self[array_id].is_left()]

    def gone(self) -> list[int]:
        """Return those of them that it cannot come to have again."""
        return [array_id for array_id in self.all_left() if not self[array_id].is_named()]

    def forget(self, array_ids: Iterable[int]) -> None:
        """Give back replicas whose changes are published."""
        for array_id in array_ids:
            self.left.discard(array_id)
            replica = self.pop(array_id, None)
            if replica is not None:  # another thread may have left a barrier meanwhile
                replica.close()

    def forget_clean(self) -> None:
        """Give back what is left, when all that is published is at home."""
        self.forget([array_id for array_id in self.all_left() if not len(self[array_id].changes())])
