"""An instrument that writes down what observers see, for the tests of `pydsm.observed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydsm.core.events import Atomic, Hold, Instrument, Observer

__all__ = ["instrument", "seen"]

seen: list[tuple[Any, ...]] = []
"""What this process's observer has seen."""


class Recorder(Observer):
    def __init__(self, *, twice: bool = False, polls: bool = False) -> None:
        self.rendezvous, self.moves_data = twice, polls
        seen.clear()

    def begin(self) -> None:
        seen.append(("begin",))

    def end(self, *, failed: bool) -> None:
        seen.append(("end", failed))

    def mapped(self, root: Any, description: Any, array_id: int) -> None:
        seen.append(("mapped", description.name))

    def acquiring(self, holds: Sequence[Hold]) -> None:
        seen.append(("acquiring", *map(_said, holds)))

    def acquired(self, holds: Sequence[Hold]) -> None:
        seen.append(("acquired", *map(_said, holds)))

    def not_acquired(self, holds: Sequence[Hold]) -> None:
        seen.append(("not acquired", *map(_said, holds)))

    def releasing(self, holds: Sequence[Hold], *, failed: bool) -> None:
        seen.append(("releasing", failed, *map(_said, holds)))

    def released(self, holds: Sequence[Hold]) -> None:
        seen.append(("released", *map(_said, holds)))

    def atomic_begins(self, atomic: Atomic) -> None:
        seen.append(("atomic", atomic.name, atomic.op, atomic.writes, atomic.elements.tolist()))

    def atomic_ended(self, atomic: Atomic, *, failed: bool) -> None:
        seen.append(("atomic ended", failed))

    def fencing(self, array: Any, array_id: int, rows: Any) -> None:
        seen.append(("fence", array.name, rows))

    def sharing(self) -> None:
        seen.append(("sharing",))

    def arriving(self) -> None:
        seen.append(("arriving",))

    def met(self) -> None:
        seen.append(("met",))

    def departed(self) -> None:
        seen.append(("departed",))


def _said(hold: Hold) -> tuple[Any, ...]:
    return hold.name, hold.rows.tolist(), hold.stripes.tolist(), hold.shared


class Recording(Instrument):
    def __init__(self, how: str) -> None:
        self.how = how
        self.parent: list[Any] = []

    def open(self, namespace: Any, size: int) -> None:
        self.parent.append(("open", size))

    def before_run(self, arrays: Sequence[Any]) -> None:
        self.parent.append(("before", [array.name for array in arrays]))

    def observer(self, namespace: Any, rank: int, size: int) -> Observer:
        return Recorder(twice="twice" in self.how, polls="polls" in self.how)

    def lost(self, rank: int) -> None:
        self.parent.append(("lost", rank))

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        self.parent.append(("after", results))

    def found(self) -> Any:
        return self.parent

    def close(self) -> None:
        self.parent.append(("close",))


def instrument(how: str) -> Instrument:
    return Recording(how)
