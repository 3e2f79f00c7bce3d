"""From clashes of words to reports: who is asked, what is left out, who is told."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import observers
from pydsm.errors import RaceError
from pydsm.races.machine import ATOMIC_READ, ATOMIC_WRITE, READ, WRITE, Shadow, claim
from pydsm.races.options import RaceOptions
from pydsm.races.report import Race, Side, to_json
from pydsm.races.sites import Sites
from pydsm.races.suppress import is_suppressed, read_patterns
from pydsm.races.texts import Texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Findings", "write_line"]

_KINDS: Final = {READ: "read", WRITE: "write", ATOMIC_READ: "atomic read", ATOMIC_WRITE: "atomic write"}
_SHARED: Final = 1 << 63
_MOST_HOLDS: Final = 4

Clash = tuple[int, int, int, int, int, bool]


class Findings:
    """What one worker finds.

    Parameters
    ----------
    options : RaceOptions
    rank : int
    sites : Sites
    history, claims : ndarray of uint64
        Shared words; see `pydsm.races.layout`.
    reports : Texts
        Where the parent reads them.
    watcher : Watcher
    """

    def __init__(
        self,
        options: RaceOptions,
        rank: int,
        sites: Sites,
        history: NDArray[Any],
        claims: NDArray[Any],
        reports: Texts,
        watcher: Any,
    ) -> None:
        self._options, self._rank, self._sites = options, rank, sites
        self._history, self._claims, self._reports, self._watcher = history, claims, reports, watcher
        self._patterns = read_patterns(options.suppressions)
        self._known: set[tuple[int, ...]] = set()
        self._arrays: dict[int, tuple[str, tuple[int, ...], int]] = {}

    def add(self, array_id: int, name: str, shape: tuple[int, ...], units: int) -> None:
        """Learn what an array is called and shaped; `units` of them are an item."""
        self._arrays[array_id] = name, shape, units

    def report(self, shadow: Shadow, kind: int, site: int, clashes: list[Clash]) -> None:
        """See what an access clashes with.

        Raises
        ------
        RaceError
            One of them is a race, and it was asked to halt.
        """
        for worker, other, first, last, word, sure in clashes:
            key = shadow.array_id, kind, site, worker, other, word >> 17 & 0x7FFF, sure
            if key not in self._known:
                self._known.add(key)
                self._make(shadow, kind, site, (worker, other, first, last, word, sure))

    def _make(self, shadow: Shadow, kind: int, site: int, clash: Clash) -> None:
        worker, other, first, last, word, sure = clash
        name, rows, elements = self._describe(shadow, first, last)
        race = Race(
            name,
            rows,
            elements,
            self._side(self._rank, kind, site, self._watcher.now),
            self._side(worker, other, word >> 17 & 0x7FFF, word >> 32),
            possible=not sure,
            heard_of=self._watcher.heard_of(worker),
        )
        if is_suppressed(race, self._patterns) or not claim(self._claims, _digest(race)):
            return
        self._publish(race)

    def _publish(self, race: Race) -> None:
        text = json.dumps(to_json(race))
        self._reports.append(text)
        if self._options.log_path:
            write_line(self._options.log_path, text)
        sys.stderr.write(race.text)
        sys.stderr.flush()
        for observer in observers():
            observer.note("race", {"race": race})
        if self._options.halt_on_error:
            raise RaceError(str(race), race=race)

    def _side(self, rank: int, kind: int, site: int, time: int) -> Side:
        place = self._sites.find(rank, site)
        return Side(rank, _KINDS[kind], place, time, self._held(rank, time), place.source.strip())

    def _held(self, rank: int, time: int) -> tuple[str, ...] | None:
        """Return what a worker held in an epoch; None if that is overwritten."""
        entry = self._history[rank, time % self._history.shape[1]].tolist()
        if entry[0] != time:
            return None
        held = [self._hold(*entry[2 + 3 * i : 5 + 3 * i]) for i in range(min(entry[1], _MOST_HOLDS))]
        if entry[1] > _MOST_HOLDS:
            held.append(f"{entry[1] - _MOST_HOLDS} more")
        return tuple(held)

    def _hold(self, array_id: int, start: int, stop: int) -> str:
        if array_id & ~_SHARED not in self._arrays:
            return self._lock(array_id)
        name = self._arrays[array_id & ~_SHARED][0]
        rows = f"row {start}" if stop == start + 1 else f"rows {start}:{stop}"
        return f"{rows} of {name!r}{' (shared)' if array_id & _SHARED else ''}"

    def _lock(self, lock_id: int) -> str:
        """Return the name of a named lock, which this worker may never have held."""
        name = self._watcher.lock_names.get(lock_id)
        return "a named lock" if name is None else f"lock {name!r}"

    def _describe(self, shadow: Shadow, first: int, last: int) -> tuple[str, tuple[int, int], str]:
        """Return the array's name, the rows and the elements from one unit to another."""
        name, shape, units = self._arrays[shadow.array_id]
        begin, end = first // units, last // units
        rows = first * shadow.unit // shadow.row, last * shadow.unit // shadow.row
        start, stop = _index_of(begin, shape), _index_of(end, shape)
        if begin == end:
            return name, rows, f"element [{', '.join(map(str, start))}]"
        if len(shape) == 1:
            return name, rows, f"elements [{start[0]}:{stop[0] + 1}]"
        return name, rows, f"elements in [{', '.join(_extents(start, stop))}]"


def _index_of(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(part) for part in np.unravel_index(place, shape))


def _extents(start: tuple[int, ...], stop: tuple[int, ...]) -> list[str]:
    """Return the smallest box of whole axes that has both elements and all between."""
    parts: list[str] = []
    whole = False
    for low, high in zip(start, stop, strict=True):
        parts.append(":" if whole else str(low) if low == high else f"{low}:{high + 1}")
        whole = whole or low != high
    return parts


def _digest(race: Race) -> int:
    """Return a number that is the same for the same race in every worker."""
    return int.from_bytes(hashlib.blake2b(repr(race.key).encode(), digest_size=8).digest(), "little")


def write_line(path: str, line: str) -> None:
    """Append a line to a file that other processes append to as well."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)
