"""The barrier and shares of work, which tell observers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydsm.core.events import observers, scheduler
from pydsm.sync.barrier import Barrier

__all__ = ["ObservedBarrier", "observed_pieces"]


class ObservedBarrier(Barrier):
    """The barrier of a worker that is observed."""

    def wait(self, rank: int) -> None:
        """Wait until every worker has come here; see `Barrier.wait`."""
        chain = observers()
        self._first_park = 0.0 if scheduler() is not None else self._first_park
        for observer in chain:
            observer.arriving()
        super().wait(rank)
        for observer in chain:
            observer.met()
        if any(observer.rendezvous for observer in chain):
            super().wait(rank)
        for observer in chain:
            observer.departed()

    def _sleep(self, generation: int) -> None:
        decides = scheduler()
        if decides is None:
            super()._sleep(generation)
        else:
            decides.wait(lambda: self.is_through(generation), "the barrier")


def observed_pieces(pieces: Iterable[range]) -> Iterator[range]:
    """Yield the pieces of a share, telling observers before each is taken."""
    taking = iter(pieces)
    while True:
        for observer in observers():
            observer.sharing()
        piece = next(taking, None)
        if piece is None:
            return
        yield piece
