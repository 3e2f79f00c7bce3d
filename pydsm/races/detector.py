"""The detector as an observer of one worker."""

from __future__ import annotations

from typing import Any

from pydsm.core.events import Observer, observers
from pydsm.core.place import address_of
from pydsm.races import segments
from pydsm.races.findings import Findings
from pydsm.races.layout import unit_of
from pydsm.races.machine import Shadow, Watcher, report_to, set_shadow, watch
from pydsm.races.options import RaceOptions
from pydsm.races.sites import Sites, texts_of
from pydsm.sync.namespace import Namespace

__all__ = ["Detector"]


class Detector(Watcher, Observer):
    """What a worker's synchronisation means for its clocks; the clocks themselves are native.

    `Watcher` has `acquired`, `releasing`, `atomic_begins`, `atomic_ended`, `fencing`, `arriving` and `met`.
    """

    def __new__(cls, options: RaceOptions, namespace: Namespace, rank: int, size: int) -> Detector:
        """Attach what the parent made."""
        parts = segments.team_parts(namespace, size)
        shared = [parts[name] for name in ("base", "live", "history", "arrivals", "locks")]
        predict = options.mode == "predict"
        self: Detector = Watcher.__new__(cls, rank, size, *shared, segments.slots(namespace, size), predict=predict)
        self._begin(options, namespace, parts)
        return self

    def _begin(self, options: RaceOptions, namespace: Namespace, parts: dict[str, Any]) -> None:
        self._options, self._namespace = options, namespace
        content = segments.texts(namespace, self.workers)
        sites = Sites(texts_of(parts, content, 0), self.me)
        reports = texts_of(parts, content, 1)[self.me]
        self._findings = Findings(options, self.me, sites, parts["history"], parts["claims"], reports, self)

    def begin(self) -> None:
        """Begin to check."""
        report_to(self._findings.report)
        watch(self, lambda: _listeners(self))

    def end(self, *, failed: bool) -> None:
        """Check no more."""
        watch(None, None)

    def mapped(self, root: Any, description: Any, array_id: int) -> None:
        """Give an array its shadow."""
        plan = segments.plan_of(root, self.workers)
        unit = unit_of(root.dtype)
        shadow = Shadow(
            array_id,
            address_of(root),
            unit,
            max(1, root.nbytes // max(1, len(root))),
            description.block,
            segments.array_parts(self._namespace, description.name, array_id, plan),
            units=plan.units,
            units_of_item=root.itemsize // unit,
            shift=plan.shift,
            workers=self.workers,
            me=self.me,
        )
        set_shadow(root, shadow)
        self.add(shadow)
        self._findings.add(array_id, description.name, description.shape, root.itemsize // unit)


def _listeners(detector: Observer) -> tuple[Observer, ...]:
    """Return who else wants to know of accesses."""
    return tuple(
        observer
        for observer in observers()
        if observer is not detector and type(observer).accessed is not Observer.accessed
    )
