"""The lock words of one array as a table: what they say, for people, and what death leaves in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.core.layout import LINE, LockHeader, Participant, fixed_part
from pydsm.core.region import intervals_of
from pydsm.native import Words
from pydsm.sync.slots import ALL_SLOTS, bits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LockWords"]

_ABANDONED = np.uint64(1 << 63)


class LockWords:
    """The words of one array's locks, or of the one stripe of a named lock."""

    def __init__(self, header: LockHeader, table: NDArray[Any]) -> None:
        self.name = header.description.name
        self.description = header.description
        self.array_id = header.array_id
        self.stripes = header.stripes
        self.is_array = bool(header.description.shape)
        self._first = header.words
        self._head = table[: header.words]
        self._checked = fixed_part(self._head)
        self._words = Words(table)
        self.lines = table[header.words : header.words + header.stripes * LINE]
        self.lots = table[header.words + header.stripes * LINE :]

    def is_intact(self) -> bool:
        """Say whether the header is still what was checked when it was mapped."""
        return fixed_part(self._head) == self._checked

    # -- what they say -------------------------------------------------------------

    def held_stripes(self) -> tuple[list[int], list[int]]:
        """Return the stripes that are held exclusive, and those held shared."""
        lines = self.lines.reshape(-1, LINE).copy()  # others change it while we look
        exclusive = (lines[:, 0] != 0) & (lines[:, 0] < _ABANDONED)
        return np.flatnonzero(exclusive).tolist(), np.flatnonzero(lines[:, 1:].any(axis=1)).tolist()

    def abandoned(self) -> dict[int, Participant]:
        """Return the abandoned stripes, and who died in each."""
        words = self.lines[::LINE].copy()
        found = (
            (stripe, Participant.of_abandoned(int(words[stripe])))
            for stripe in np.flatnonzero(words >= _ABANDONED).tolist()
        )
        return {stripe: dead for stripe, dead in found if dead is not None}

    def waiting(self) -> list[int]:
        """Return the slots that are parked in the array's lots."""
        lots = np.bitwise_or.reduce(self.lots.reshape(-1, LINE), axis=0)
        return list(bits_of(sum(bits << 64 * word for word, bits in enumerate(lots.tolist())) & ALL_SLOTS))

    def what_is(self, stripe: int) -> str:
        """Return the rows that a stripe guards, as text."""
        return self.what_are([stripe])

    def what_are(self, stripes: Iterable[int]) -> str:
        """Return the rows that stripes guard, as text: ``"row 3"``, ``"rows 0 to 4, 7"``."""
        if not self.is_array:
            return "the lock"
        runs = self.rows_of(sorted(stripes))
        one = len(runs) == 1 and runs[0][1] == runs[0][0] + 1
        text = ", ".join(f"{start}" if stop == start + 1 else f"{start} to {stop - 1}" for start, stop in runs)
        return f"row{'' if one else 's'} {text}"

    def full_name(self, *stripes: int) -> str:
        """Return the rows that stripes guard with the array's name, or the lock's name."""
        return f"{self.what_are(stripes)} of array {self.name!r}" if self.is_array else f"lock {self.name!r}"

    def rows_of(self, stripes: list[int]) -> list[list[int]]:
        """Return the rows that stripes guard as pairs of start and stop; none for a lock."""
        if not self.is_array:
            return []
        block, rows = self.description.block, self.description.shape[0]
        runs: list[list[int]] = intervals_of(stripes, self.stripes).tolist()
        return [[start * block, min(stop * block, rows)] for start, stop in runs]

    # -- what death leaves -----------------------------------------------------------

    def bury(self, dead: Participant, waits_for: int | None) -> str | None:
        """Take a dead participant out of all words; return what it died in, as text.

        Each step is one atomic operation that changes only what names the dead, so the
        whole may be done again after the one who did it died, too.

        Parameters
        ----------
        dead : Participant
        waits_for : int, optional
            The stripe that it has published to wait for exclusively.  If it still was in
            that stripe's lot, it was not let in, so what it has of the stripe is just
            free; else a wait that was interrupted has left its words behind.
        """
        me = dead.slot + 1
        lines, lots = self.lines.reshape(-1, LINE), self.lots.reshape(-1, LINE)
        word, bit = dead.slot // 64, 1 << dead.slot % 64
        held = np.flatnonzero(lines[:, 0] == me).tolist()
        shared = np.flatnonzero(lines[:, 1 + word] & np.uint64(bit)).tolist()
        parked = np.flatnonzero(lots[:, word] & np.uint64(bit)).tolist()
        keep, first_lot = ~bit & (1 << 64) - 1, self._first + self.stripes * LINE
        died_in = [stripe for stripe in held if stripe != waits_for or stripe % len(lots) not in parked]
        for stripe in held:
            left = dead.abandoned() if stripe in died_in else 0
            self._words.compare_and_swap(self._first + stripe * LINE, me, left)
        for stripe in shared:
            self._words.and_(self._first + stripe * LINE + 1 + word, keep)
        for lot in parked:
            self._words.and_(first_lot + lot * LINE + word, keep)
        return self.full_name(*died_in) if died_in else None
