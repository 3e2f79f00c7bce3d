"""What a team was asked for beyond results: a memory with replicas, checks, a schedule, a timeline.

Each is an `Instrument` of a package of its own, which is imported only if it was asked for,
by the team or by the environment: ``PYDSM_MEMORY``, ``PYDSM_RACE``, ``PYDSM_SCHEDULE``,
``PYDSM_TRACE``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from pydsm.core.events import Instrument, Observer, Scheduler, observe
from pydsm.handles import mapped_in, pickle_as_handle
from pydsm.observed import ObservedArray, ObservedLock
from pydsm.sync.namespace import Namespace

__all__ = ["MEMORIES", "Instruments"]

MEMORIES: Final = ("coherent", "release", "entry")
_MODULES: Final = {  # in the order in which their observers are called
    "schedule": "pydsm.control",
    "memory": "pydsm.memory.release",
    "check": "pydsm.races",
    "trace": "pydsm.trace",
    "snapshot": "pydsm.snapshot",
}
_VARIABLES: Final = {
    "schedule": "PYDSM_SCHEDULE",
    "memory": "PYDSM_MEMORY",
    "check": "PYDSM_RACE",
    "trace": "PYDSM_TRACE",
    "snapshot": "PYDSM_SNAPSHOT",
}


pickle_as_handle(ObservedArray)


class Instruments:
    """The instruments of one team, in the order of their observers; it pickles.

    Parameters
    ----------
    wanted : dict
        Option to what was given for it; None: as the environment says.
    """

    def __init__(self, **wanted: Any) -> None:
        asked = {option: _asked(option, wanted.get(option)) for option in _MODULES}
        self.memory: str = _exact_memory(asked["memory"])
        if self.memory == "coherent":
            asked["memory"] = None
        self._parts: dict[str, Instrument] = {
            option: import_module(_MODULES[option]).instrument(value)
            for option, value in asked.items()
            if value is not None and value is not False
        }
        for part in self._parts.values():
            part.meet(self._parts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def find(self, option: str) -> Any:
        """Return the instrument of an option, or None."""
        return self._parts.get(option)

    # -- in the parent -----------------------------------------------------------

    def seed(self) -> int:
        """Return the seed of a team that was given none: the same again where the schedule is."""
        seeds = [seed for part in self._parts.values() if (seed := part.seed()) is not None]
        return seeds[0] if seeds else int.from_bytes(os.urandom(7), "little")

    def open(self, namespace: Namespace, size: int) -> None:
        """Make what they need, and give the namespace's arrays and locks their classes."""
        self._dress(namespace)
        for part in self._parts.values():
            part.open(namespace, size)

    def before_run(self, arrays: Sequence[Any]) -> None:
        """Get ready for a run."""
        for part in self._parts.values():
            part.before_run(arrays)

    def lost(self, rank: int) -> None:
        """Put right what a worker's death leaves."""
        for part in self._parts.values():
            part.lost(rank)

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Finish a run; `results` is None if it failed."""
        _for_all(self._parts.values(), lambda part: part.after_run(arrays, results))

    def close(self) -> None:
        """Remove what they made."""
        _for_all(reversed(self._parts.values()), lambda part: part.close())

    # -- in a worker -------------------------------------------------------------

    def enter(self, namespace: Namespace, rank: int, size: int) -> Observers:
        """Begin to observe the worker that this process is."""
        self._dress(namespace)
        chain = tuple(part.observer(namespace, rank, size) for part in self._parts.values())
        decides: Any = chain[list(self._parts).index("schedule")] if "schedule" in self._parts else None
        entered = Observers(chain, decides)
        entered.begin(namespace)
        return entered

    def _dress(self, namespace: Namespace) -> None:
        if self._parts:
            classes = [part.array_class for part in self._parts.values() if part.array_class is not None]
            namespace.array_class = classes[0] if classes else ObservedArray
            namespace.lock_class = ObservedLock


class Observers:
    """The observers of the worker that this process is."""

    def __init__(self, chain: tuple[Observer, ...], decides: Scheduler | None) -> None:
        self._chain, self._decides = chain, decides

    def begin(self, namespace: Namespace) -> None:
        """Begin."""
        for root in mapped_in(namespace):
            table = root._table
            for observer in self._chain:
                observer.mapped(root, table.description, table.array_id)
        for observer in self._chain:
            observer.begin()
        observe(self._chain, self._decides)

    def end(self, *, failed: bool) -> None:
        """End; the scheduler comes last."""
        observe(())
        _for_all(reversed(self._chain), lambda observer: observer.end(failed=failed))

    def leave(self) -> None:
        """Let others run, who may want what this worker has put right since its end."""
        if self._decides is not None:
            self._decides.leave()


def _for_all(parts: Iterable[Any], call: Callable[[Any], None]) -> None:
    """Call for each, whatever one of them raises; then raise that."""
    with contextlib.ExitStack() as stack:
        for part in reversed(list(parts)):
            stack.callback(call, part)


def _asked(option: str, given: Any) -> Any:
    if given is None:
        return os.environ.get(_VARIABLES[option]) or None
    return given


def _exact_memory(memory: Any) -> str:
    if memory is None:
        return "coherent"
    if memory not in MEMORIES:
        raise ValueError(f"memory is one of {', '.join(map(repr, MEMORIES))}, not {memory!r}")
    return str(memory)
