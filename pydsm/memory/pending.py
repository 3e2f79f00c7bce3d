"""What a worker comes after and has not applied yet.

On entry memory that is what lies outside the rows of its regions so far; on both, what belongs
to arrays that this process has not mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydsm.core.diff import Diff, Spans, positions_in
from pydsm.core.interval import Interval
from pydsm.memory.scope import EVERYTHING, Scope

__all__ = ["Part", "Pending"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What an interval did to one array, or a part of that."""

    interval: Interval
    diff: Diff

    def within(self, spans: Spans, *, inside: bool) -> Part:
        """Return what of it is inside the spans, or outside."""
        return Part(self.interval, self.diff.where(positions_in(self.diff.positions, spans) == inside))


class Pending:
    """Parts of intervals by array, waiting for a synchronisation that moves them."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Part]] = {}
        self._due: dict[int, list[Part]] = {}  # as soon as the array is mapped here

    def add(self, intervals: Iterable[Interval]) -> None:
        """Add what the worker has come after."""
        for interval in intervals:
            for array_id, diff in interval.diffs.items():
                self._parts.setdefault(array_id, []).append(Part(interval, diff))

    def take(self, scope: Scope, is_mapped: Callable[[int], bool]) -> Iterator[tuple[int, Sequence[Part]]]:
        """Yield what is to be applied now, by array, in the order of causes."""
        for array_id in (
            list(self._parts) if scope is EVERYTHING else [known for known in scope if known in self._parts]
        ):
            parts = self._split(array_id, None if scope is EVERYTHING else scope[array_id])
            if is_mapped(array_id):
                yield array_id, _in_order(parts)
            else:
                self._due.setdefault(array_id, []).extend(parts)

    def take_due(self, array_id: int) -> Sequence[Part]:
        """Return what an array that is mapped now should have already."""
        return _in_order(self._due.pop(array_id, []))

    def forget(self) -> None:
        """Forget all of it: it has come in another way."""
        self._parts.clear()
        self._due.clear()

    def _split(self, array_id: int, spans: Spans | None) -> list[Part]:
        """Return the parts inside the spans, and keep the rest."""
        parts = self._parts.pop(array_id)
        if spans is None:
            return parts
        rest = [part.within(spans, inside=False) for part in parts]
        self._parts[array_id] = [part for part in rest if len(part.diff)]
        return [part.within(spans, inside=True) for part in parts]


def _in_order(parts: Sequence[Part]) -> Sequence[Part]:
    return sorted((part for part in parts if len(part.diff)), key=lambda part: part.interval.order)
