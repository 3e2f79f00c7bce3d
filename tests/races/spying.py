"""A detector in this process alone, whose shadow memory can be looked at: what was read, and what written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import pydsm
from pydsm.array import root_of
from pydsm.core.place import address_of
from pydsm.races.layout import ArrayPlan, TeamPlan, unit_of
from pydsm.races.machine import READ, WRITE, Shadow, Watcher, intern_with, report_to, set_shadow, watch

__all__ = ["Spy", "spied"]


class Spy:
    """One worker of some, with one array."""

    def __init__(
        self, array: Any, *, workers: int = 2, me: int = 0, shift: int | None = None, shared: Spy | None = None
    ) -> None:
        root = root_of(array)
        unit = unit_of(root.dtype)
        plan = ArrayPlan(workers, root.nbytes // unit, root.stripes)
        if shift is not None:
            plan = _Shifted(workers, plan.units, plan.stripes, shift)
        self.array, self.units_of_item, self.plan = array, root.itemsize // unit, plan
        self.parts = shared.parts if shared else _zeros(plan.shapes())
        self.team = shared.team if shared else _zeros(TeamPlan(workers).shapes())
        self.shadow = Shadow(
            array._table.array_id,
            address_of(root),
            unit,
            max(1, root.nbytes // max(1, len(root))),
            1,
            self.parts,
            units=plan.units,
            units_of_item=self.units_of_item,
            shift=plan.shift,
            workers=workers,
            me=me,
        )
        self.me, self.workers = me, workers
        self.clashes: list[Any] = []
        self.start(0)

    def start(self, clock: int) -> None:
        """Begin a run in which all clocks stand at `clock`."""
        self.team["base"][:] = clock
        parts = (self.team[name] for name in ("base", "live", "history", "arrivals", "locks"))
        self.watcher = Watcher(self.me, self.workers, *parts, predict=False)
        self.watcher.add(self.shadow)

    def enter(self) -> None:
        """Be the worker that this process is."""
        intern_with(lambda code, instruction: 1)
        report_to(lambda shadow, kind, site, clashes: self.clashes.append((kind, clashes)))
        for array in (root_of(self.array), self.array):  # which keeps what it was found with
            set_shadow(array, self.shadow)
        watch(self.watcher, None)

    def reset(self) -> None:
        """Let the elements be 0, 1, 2 ... again."""
        root = np.asarray(root_of(self.array))
        root[...] = np.arange(root.size).reshape(root.shape)

    def forget(self) -> None:
        """Let nothing have been accessed."""
        for part in self.parts.values():
            part[...] = 0

    def touched(self, kind: int) -> Any:
        """Return which elements were read or written, as an array of bools."""
        plan, plane = self.plan, self.parts["cells"][self.me, kind]
        units = np.arange(plan.units)
        cells = units >> plan.shift
        seen = (plane[cells] >> (units & ((1 << plan.shift) - 1)).astype(np.uint64) & 1).astype(bool)
        seen |= self.parts["cover"][self.me, kind][cells >> 10] > 0
        return seen.reshape(*root_of(self.array).shape, self.units_of_item).any(axis=-1)

    def sees(self, action: Callable[[], Any]) -> tuple[Any, Any]:
        """Return which elements an action reads, and which it writes."""
        self.forget()
        self.enter()
        try:
            action()
        finally:
            watch(None, None)
        return self.touched(READ), self.touched(WRITE)


def _zeros(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: np.zeros(shape, np.uint64) for name, shape in shapes.items()}


class _Shifted(ArrayPlan):
    """A plan with as many units in a cell as are asked for."""

    def __init__(self, workers: int, units: int, stripes: int, shift: int) -> None:
        ArrayPlan.__init__(self, workers, units, stripes)
        object.__setattr__(self, "_shift", shift)

    @property
    def shift(self) -> int:
        return self._shift  # type: ignore[attr-defined]


@contextmanager
def spied(shape: Any, dtype: Any = float, *, check: str = "happens-before", shift: int | None = None) -> Iterator[Spy]:
    """Give a spy on a new array, in the parent of a team that never runs."""
    with pydsm.Team(1, check=check) as team:
        array = team.array("A", shape, dtype)
        yield Spy(array, shift=shift)
