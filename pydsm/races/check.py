"""The detector in the parent: makes what the workers share, and reads what they found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydsm.array import root_of
from pydsm.core.events import Instrument, Observer
from pydsm.handles import pickle_as_handle
from pydsm.races import segments, summary
from pydsm.races.checked import CheckedArray, StrictArray
from pydsm.races.detector import Detector  # here, in the parent: else each worker of each run would import it
from pydsm.races.options import RaceOptions
from pydsm.races.report import Race, from_json
from pydsm.races.sites import texts_of
from pydsm.races.suppress import read_patterns
from pydsm.races.texts import Texts
from pydsm.sync.namespace import Namespace

__all__ = ["RaceCheck"]

for _array_class in (CheckedArray, StrictArray):
    pickle_as_handle(_array_class)


class RaceCheck(Instrument):
    """What checks the runs of one team for races."""

    def __init__(self, options: RaceOptions) -> None:
        read_patterns(options.suppressions)  # what is wrong with them is said now
        self.options = options
        self.array_class = StrictArray if options.mode == "strict" else CheckedArray
        self._parent: _Parent | None = None

    def __getstate__(self) -> RaceOptions:
        return self.options

    def __setstate__(self, options: RaceOptions) -> None:
        RaceCheck.__init__(self, options)

    def open(self, namespace: Namespace, size: int) -> None:
        """Make the team's segments."""
        self._parent = _Parent(namespace, size)

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Take the clocks that all workers begin with, before any of them does."""
        self._here.before_run(arrays)

    def observer(self, namespace: Namespace, rank: int, size: int) -> Observer:
        """Return the detector of a worker."""
        return Detector(self.options, namespace, rank, size)

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Read what the workers found."""
        self._here.after_run()

    def found(self) -> tuple[Race, ...]:
        """Return the races of the last run."""
        return self._here.races

    @property
    def _here(self) -> _Parent:
        assert self._parent is not None
        return self._parent


class _Parent:
    """What the parent has of it."""

    def __init__(self, namespace: Namespace, size: int) -> None:
        self._namespace, self._size = namespace, size
        self._parts = segments.team_parts(namespace, size)
        content = segments.texts(namespace, size)
        self._texts: list[Texts] = texts_of(self._parts, content, 0) + texts_of(self._parts, content, 1)
        self._reports = self._texts[size:]
        self._shadows: set[int] = set()
        self.races: tuple[Race, ...] = ()

    def before_run(self, arrays: Sequence[Any]) -> None:
        parts = self._parts
        parts["base"][:] = parts["live"][:, 0]
        parts["claims"][:] = 0
        for texts in self._texts:
            texts.clear()
        self.races = ()
        self._make_shadows(arrays)

    def _make_shadows(self, arrays: Sequence[Any]) -> None:
        """Make them now, where it can be said that there is no room; remove those of deleted arrays."""
        roots = {array._table.array_id: root_of(array) for array in arrays}
        for array_id in self._shadows - roots.keys():
            segments.remove_array(self._namespace, array_id)
        for array_id, root in roots.items():
            if array_id not in self._shadows:
                segments.array_parts(self._namespace, root.name or "", array_id, segments.plan_of(root, self._size))
        self._shadows = set(roots)

    def after_run(self) -> None:
        found: dict[Any, Race] = {}
        for texts in self._reports:
            for line in texts.lines():
                race = from_json(json.loads(line))
                found.setdefault(race.key, race)
        sure = {(array, places) for array, possible, places in found if not possible}
        self.races = tuple(
            race for (array, _, places), race in found.items() if not race.possible or (array, places) not in sure
        )
        summary.add(self.races)
