"""Combining one value of each worker: sums and the like, without locks.

Every worker's c-th reduction of a run is the same one.  Each writes into its slot what it
gives (*word*) and what it does (*digest*: the call's number, operation, kind, dtype and
shape), and waits in the barrier; then everybody reads all slots, in the order of ranks.
There are two such pairs of words, for even and odd c: who is still reading the one is
waited for before the next reduction is through, and only then is that one written again.
So a number of up to eight bytes takes one barrier.

**Agreement.**  After the barrier everybody sees the same digests, so that all go on or all
raise.  A digest says the call's number too, so nobody takes an old one, or a plain
`barrier`, for a part in this reduction.

**Arrays** go through rows of a scratch segment, one for each worker.  A small one does as a
number does: each writes its row before its digest, in one of two places for even and odd c,
and after the barrier everybody who wants the result combines all rows.  Larger ones, which
have a third place, are combined by all together:

1. write one's row, then the digest; barrier;
2. combine one's own part of the elements over all rows, into a row for the result; barrier;
3. copy the result.

(A reduce-scatter and a gather; Rabenseifner, *Optimization of collective reduction
operations*, 2004.)  Nobody writes its row again before all are through 2, nor the result
before all are through 3, because the next reduction's first barrier lies between.  If the
rows are too small, which all see alike after the first barrier, each joins larger ones and
says in its word whether it could; after one more barrier all go on or all raise.

**Deaths.**  Where a team goes on after a death, a worker takes part if its digest is there
(its row, if rows had to grow): it was written before the death or never will be, so all see
the same.  The word of a part of 2 that nobody finished stays what it was; then each worker
combines that part for itself, and one more barrier keeps the rows from being written
meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydsm.core.layout import Slot
from pydsm.core.operand import WORD_BYTES, Operand
from pydsm.errors import NoRoomError
from pydsm.sync.barrier import Barrier
from pydsm.sync.namespace import Namespace
from pydsm.sync.scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Reduction"]

_STATE: Final = 3  # what a word says where arrays are reduced
_FAILED: Final = 1  # and the bytes that are free, above
_WRITTEN: Final = 2  # the row
_COMBINED: Final = 3  # the part
_SMALL: Final = 1 << 15  # bytes of an array that is combined faster than one waits for the others once more
_BLOCK: Final = 1 << 19  # bytes that stay in the cache while all rows are combined
_DIGESTS: Final = 1 << 64


class Reduction:
    """The reductions of a run, as one worker sees them."""

    def __init__(self, namespace: Namespace, rank: int, size: int, barrier: Barrier) -> None:
        self._namespace, self._barrier = namespace, barrier
        self._rank, self._size = rank, size
        self._calls = 0
        self._scratch: Scratch | None = None

    def reduce(self, value: Any, op: str, root: int | None = None) -> Any:
        """Combine the values of all workers, for all or for `root`; see `Worker.allreduce`."""
        operand = Operand.of(value, op)
        call = _Call(self._namespace, self._rank, self._size, self._barrier, operand, root, self._calls)
        self._calls += 1
        wanted = root is None or root == self._rank
        if operand.values.nbytes <= WORD_BYTES:
            givers = call.announce(operand.word())
            return operand.combine([operand.of_word(call.word(rank)) for rank in givers]) if wanted else None
        return self._reduce_array(call, operand, wanted=wanted)

    def _reduce_array(self, call: _Call, operand: Operand, *, wanted: bool) -> Any:
        rows = self._rows(call, operand)
        if rows is not None:
            rows[self._rank][:] = operand.values.reshape(-1)
        givers = call.announce(0 if rows is None else _WRITTEN)
        if rows is None:
            rows = self._grow(call, operand, givers)
        givers = [rank for rank in givers if call.word(rank) & _STATE >= _WRITTEN]
        written = [rows[rank] for rank in givers]
        if operand.values.nbytes > _SMALL:
            return self._combine_together(call, operand, givers, written, rows[-1], wanted=wanted)
        return operand.combine(written) if wanted else None

    def _combine_together(
        self,
        call: _Call,
        operand: Operand,
        givers: Sequence[int],
        written: Sequence[NDArray[Any]],
        total: NDArray[Any],
        *,
        wanted: bool,
    ) -> Any:
        with call.breaking():
            _combine(operand, written, total, call.part(givers, self._rank))
        call.say(_COMBINED)
        call.wait()
        lost = [rank for rank in givers if call.word(rank) & _STATE != _COMBINED]
        with call.breaking():
            result = total.copy() if wanted else total[:0]
            for rank in lost if wanted else ():
                _combine(operand, written, result, call.part(givers, rank))
        if lost:
            call.wait()
        return operand.result(result.reshape(operand.values.shape)) if wanted else None

    def _rows(self, call: _Call, operand: Operand) -> list[NDArray[Any]] | None:
        """Return the rows of all workers and that of the result; None if they are too small."""
        scratch, values = self._scratch, operand.values
        first = call.parity * _SMALL if values.nbytes <= _SMALL else 2 * _SMALL
        if scratch is None or scratch.room < first + values.nbytes:
            return None
        return [scratch.row(number, first, values.dtype, values.size) for number in range(self._size + 1)]

    def _grow(self, call: _Call, operand: Operand, givers: Sequence[int]) -> list[NDArray[Any]]:
        """Join rows that are large enough and write one's own, or raise in every worker."""
        before, problem, rows = self._scratch, None, None
        large = operand.values.nbytes if operand.values.nbytes > _SMALL else 0
        with call.breaking():
            try:
                self._scratch = Scratch.join(self._namespace, self._size + 1, 2 * _SMALL + large)
                rows = self._rows(call, operand)
                assert rows is not None
                rows[self._rank][:] = operand.values.reshape(-1)
                call.say(_WRITTEN)
            except NoRoomError as error:
                problem = error
                call.say(_FAILED | error.free << 2)
        call.wait()
        failed = [rank for rank in givers if call.word(rank) & _STATE == _FAILED]
        if failed or rows is None or self._scratch is None:
            self._scratch = before
            raise problem or _no_room(failed[0], (self._size + 1) * operand.values.nbytes, call.word(failed[0]) >> 2)
        self._scratch.announce(self._namespace)
        return rows


class _Call:
    """One reduction: its words in the slots."""

    def __init__(
        self,
        namespace: Namespace,
        rank: int,
        size: int,
        barrier: Barrier,
        operand: Operand,
        root: int | None,
        number: int,
    ) -> None:
        self._slots, self._rank, self._size, self._barrier = namespace.slots, rank, size, barrier
        self._operand = operand
        self._name = "allreduce()" if root is None else f"reduce(root={root})"
        self._digest = (operand.digest(self._name) + (number << 32)) % _DIGESTS or 1
        self.parity = number % 2
        self._word, self._digest_word = Slot.REDUCED + self.parity, Slot.DIGEST + self.parity

    def announce(self, word: int) -> list[int]:
        """Say what this worker gives and does, wait for the others, and return who takes part."""
        self.say(word)
        self._slots.set(self._rank, self._digest_word, self._digest)
        self.wait()
        others = [rank for rank in range(self._size) if self._slots.get(rank, self._digest_word) != self._digest]
        strangers = [rank for rank in others if not self._barrier.is_dead(rank)]
        if strangers:
            raise ValueError(
                f"{self._name} of rank {self._rank} reduces {self._operand} with {self._operand.op!r}, "
                f"rank {', '.join(map(str, strangers))} does something else: all workers do the same, in the same order"
            )
        return [rank for rank in range(self._size) if rank not in others]

    def say(self, word: int) -> None:
        """Publish the word of this worker."""
        self._slots.set(self._rank, self._word, word)

    def word(self, rank: int) -> int:
        """Return the word of a worker."""
        return self._slots.get(rank, self._word)

    def wait(self) -> None:
        """Wait for all others."""
        self._barrier.wait(self._rank)

    def part(self, givers: Sequence[int], rank: int) -> range:
        """Return which elements a worker combines."""
        n, place = self._operand.values.size, givers.index(rank)
        return range(place * n // len(givers), (place + 1) * n // len(givers))

    @contextlib.contextmanager
    def breaking(self) -> Iterator[None]:
        """Break the barrier if the block raises: the others would wait for what never comes."""
        try:
            yield
        except BaseException:
            self._barrier.fail()
            raise


def _combine(operand: Operand, rows: Sequence[NDArray[Any]], total: NDArray[Any], part: range) -> None:
    """Combine a part of the rows, in their order, into the same part of the total."""
    step = max(1, _BLOCK // operand.values.itemsize)
    for start in range(part.start, part.stop, step):
        block = slice(start, min(start + step, part.stop))
        operand.combine_into(total[block], [row[block] for row in rows])


def _no_room(rank: int, wanted: int, free: int) -> NoRoomError:
    text = f"rank {rank} found no room for the {wanted} bytes in which the workers reduce their arrays"
    return NoRoomError(text, wanted=wanted, free=free)
