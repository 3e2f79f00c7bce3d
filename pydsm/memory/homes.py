"""Bringing what has been published home, where the next epoch and the parent find it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydsm.core.diff import Diff, apply, merge, unit_of, units
from pydsm.core.interval import read_intervals
from pydsm.core.place import address_of
from pydsm.errors import SegmentError
from pydsm.ipc.mapping import memory_at
from pydsm.sync import burial, datasegment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pydsm.memory.replica import Replica
    from pydsm.sync.namespace import Namespace

__all__ = ["bring_home", "merged"]


def merged(content: bytes) -> dict[int, Diff]:
    """Return what all entries do one after the other in the order of their clocks, by array id."""
    found: dict[int, list[Diff]] = {}
    for interval in sorted(read_intervals(content), key=lambda interval: interval.order):
        for array_id, diff in interval.diffs.items():
            found.setdefault(array_id, []).append(diff)
    return {array_id: merge(diffs) for array_id, diffs in found.items()}


def bring_home(namespace: Namespace, changed: Mapping[int, Diff], mapped: Mapping[int, Replica]) -> None:
    """Write diffs to the homes of their arrays; an array that has been removed has none.

    May be done again, as long as nobody has looked.
    """
    elsewhere = [array_id for array_id in changed if array_id not in mapped]
    attached = dict(_attach(namespace, elsewhere)) if elsewhere else {}
    for array_id, diff in changed.items():
        if array_id in mapped:
            apply(mapped[array_id].home, diff)
        elif array_id in attached:
            data = attached[array_id]
            apply(units(memory_at(address_of(data), data.nbytes), unit_of(data.dtype)), diff)


def _attach(namespace: Namespace, wanted: Iterable[int]) -> Iterable[tuple[int, NDArray[Any]]]:
    for words in burial.find_words(namespace.name, namespace.known(), ()):
        if words.array_id in wanted:
            try:
                elements = datasegment.attach(namespace.name, words.description, shared=namespace.is_shared)
            except (FileNotFoundError, SegmentError):
                continue
            yield words.array_id, elements
