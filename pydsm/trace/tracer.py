"""What a team that is traced has: files for its workers, and the timeline that comes of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from time import perf_counter_ns as now
from typing import Any, Final

from pydsm.core.events import Instrument, Observer
from pydsm.trace.books import book, save_book
from pydsm.trace.files import Place, Sheets
from pydsm.trace.merge import Sheet
from pydsm.trace.recorder import Recorder
from pydsm.trace.timeline import Timeline

__all__ = ["DEFAULT_LIMIT", "Tracer"]

DEFAULT_LIMIT: Final = 250_000
"""Events that a worker of a team may record, over all its runs; each is 64 bytes on disk until the run is merged."""


class Tracer(Instrument):
    """Records what the workers of a team do.

    Parameters
    ----------
    path : str or None
        Where the timeline is written when the team ends, and what: by its suffix.
    limit : int
        How many events a worker may record.
    """

    def __init__(self, path: str | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.path = path
        self.timeline = Timeline()
        self._limit = limit
        self._left: list[int] = []
        self._sheets: list[Sheets] = []
        self._places: list[Place] = []
        self._died: dict[int, int] = {}
        self._began = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"_places": self._places}

    # -- in the worker ---------------------------------------------------------------

    def observer(self, namespace: Any, rank: int, size: int) -> Observer:
        """Return the recorder of a worker."""
        return Recorder(self._places[rank])

    # -- in the parent ---------------------------------------------------------------

    def open(self, namespace: Any, size: int) -> None:
        """Begin the timeline of a team."""
        self._left = [self._limit] * size
        self.timeline.begin(namespace.name)
        book(self.timeline, self.path)

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Make the workers' files."""
        self._drop()
        self._sheets = [Sheets(max(1, left)) for left in self._left]
        self._places = [sheets.place() for sheets in self._sheets]
        self._died = {}
        self._began = now()

    def lost(self, rank: int) -> None:
        """Note when a worker was found dead."""
        self._died.setdefault(rank, now())

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Take in what the workers wrote."""
        over = now()
        number = len(self.timeline.runs)
        try:
            read = [sheets.read() for sheets in self._sheets]
        finally:
            self._drop()
        sheets = [Sheet(number, rank, *content, self._died.get(rank), over) for rank, content in enumerate(read)]
        for rank, (records, remarks) in enumerate(read):
            self._left[rank] -= len(records) + sum("note" in remark for remark in remarks)
        self.timeline.add(sheets, self._began, over, failed=results is None)
        self._warn(sheets)

    def found(self) -> Timeline:
        """Return the timeline."""
        return self.timeline

    def close(self) -> None:
        """Write the timeline where it was asked for."""
        self._drop()
        if self.path is not None:
            save_book(self.path)

    def _drop(self) -> None:
        for sheets in self._sheets:
            sheets.close()
        self._sheets = []

    def _warn(self, sheets: list[Sheet]) -> None:
        short = [f"{sheet.lost} of worker {sheet.rank}" for sheet in sheets if sheet.lost]
        if short:
            warnings.warn(
                f"the timeline lacks the last events of this run, {', '.join(short)}: a worker may record "
                f"{self._limit} (PYDSM_TRACE_LIMIT), so that memory and disk do not fill up",
                RuntimeWarning,
                stacklevel=6,
            )


def limit_wished() -> int:
    """Return how many events a worker may record, as the environment says."""
    wish = os.environ.get("PYDSM_TRACE_LIMIT")
    if not wish:
        return DEFAULT_LIMIT
    if not wish.isdecimal() or int(wish) < 1:
        raise ValueError(f"PYDSM_TRACE_LIMIT is a number of events from 1, not {wish!r}")
    return int(wish)
