"""Atomic operations, and waiting for an element, with observers around them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from pydsm import native
from pydsm.array import GlobalArray
from pydsm.core.events import Atomic, Observer, observers
from pydsm.errors import WaitTimeoutError
from pydsm.native import Watch
from pydsm.observed.holds import ElementAtomic

__all__ = ["Attempt", "around", "observed_atomic"]

_Result = TypeVar("_Result")


def observed_atomic(operation: Callable[..., Any]) -> Any:
    """Return an atomic operation with observers around it."""

    @functools.wraps(operation)
    def call(self: GlobalArray, index: Any, *values: Any, **named: Any) -> Any:
        chain = observers()
        if not chain:
            return operation(self, index, *values, **named)
        atomic = ElementAtomic(self, operation.__name__, index)
        return around(chain, atomic, lambda: operation(self, index, *values, **named))

    return call


def around(chain: tuple[Observer, ...], atomic: Atomic, operation: Callable[[], _Result]) -> _Result:
    """Do an operation, with observers told before and after."""
    begun: list[Observer] = []
    failed = True
    try:
        for observer in chain:
            begun.append(observer)
            observer.atomic_begins(atomic)
        result = operation()
        failed = False
        return result
    finally:
        _end(begun, atomic, failed=failed)


def _end(begun: list[Observer], atomic: Atomic, *, failed: bool) -> None:
    """Tell all of them, the last first, whatever one of them raises."""
    while begun:
        observer = begun.pop()
        try:
            observer.atomic_ended(atomic, failed=failed)
        except BaseException:
            _end(begun, atomic, failed=True)
            raise


class Attempt:
    """Looking at an element, atomically, again and again; for `pydsm.sync.watch` it is what is watched."""

    def __init__(
        self,
        array: GlobalArray,
        chain: tuple[Observer, ...],
        index: Any,
        op: str,
        value: Any,
        *,
        timeout: float | None,
    ) -> None:
        self.array, self._chain, self._timeout = array, chain, timeout
        self._asked = index, op, value
        self._watch: Watch | None = None
        self.found: Any = None

    def once(self) -> Any:
        """Wait as long as is allowed, and return the element; WaitTimeoutError if it is not as wanted."""
        atomic = ElementAtomic(self.array, "wait_until", self._asked[0])
        return around(self._chain, atomic, lambda: native.wait_until(self.array, *self._asked, self._timeout))

    def succeeds(self) -> bool:
        """Look once; say whether it is as wanted."""
        return self.holds() is not None

    def asleep(self, deadline: float | None) -> Any:
        """Look until it is as wanted, asleep in between."""
        self._watch = native.watch_element(self.array, *self._asked)
        return native.wait_asleep(self._watch, self, deadline)

    def holds(self) -> Any:
        """Return the element if it is as wanted, else None."""
        try:
            self.found = self.once()
        except WaitTimeoutError:
            return None
        return self.found

    @property
    def stripe(self) -> int:
        """The stripe of the element."""
        assert self._watch is not None
        return self._watch.stripe

    def enter_lot(self) -> None:
        """Put this thread where it is woken from."""
        assert self._watch is not None
        self._watch.enter_lot()

    def __repr__(self) -> str:
        index, op, value = self._asked
        return f"element {index} of array {self.array.name!r} {op} {value!r}"
