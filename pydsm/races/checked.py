"""`CheckedArray`: a shared array whose plain accesses are seen by the race detector.

Items and operators are native (`native/race_hooks.pxi`), NumPy's functions in `functions`; here are the
methods and attributes of an array.  Views are checked arrays, because NumPy makes them so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pydsm.array import GlobalArray
from pydsm.core.region import RowKey, intervals_of
from pydsm.observed import ObservedArray
from pydsm.races import machine
from pydsm.races.flat import CheckedFlat
from pydsm.races.functions import array_function
from pydsm.races.machine import READ, WRITE, access, bare, is_tracked, writable
from pydsm.races.places import places_of, reads, see

__all__ = ["CheckedArray", "StrictArray"]

_READERS: Final = """
argmax argmin argpartition argsort astype choose copy cumprod cumsum dot dump dumps flatten nonzero repeat round
searchsorted tobytes tofile tolist tostring
__bool__ __int__ __float__ __complex__ __index__ __repr__ __str__ __format__ __copy__ __deepcopy__
"""
_WRITERS: Final = "fill sort partition setfield"
_ATOMICS: Final = """
fetch_add fetch_min fetch_max fetch_and fetch_or fetch_xor swap compare_and_swap store_release accumulate
"""
_VIEWERS: Final = "reshape ravel getfield"


class CheckedArray(ObservedArray):
    """A shared array of a team that looks for data races."""

    __slots__ = ("_shadow",)

    __getitem__ = machine.getitem
    __setitem__ = machine.setitem
    __array_ufunc__ = machine.array_ufunc
    __array_function__ = array_function  # type: ignore[assignment]

    def assert_exclusive(self, rows: RowKey = None) -> None:
        """Say that no other worker accesses these rows now; a race is reported if one does.

        It is checked as a write of all of them would be, and nothing is written.

        Parameters
        ----------
        rows : int, slice, sequence of int, boolean mask, None or ...
        """
        for start, stop in intervals_of(rows, len(self), self.name or ""):
            access(self[start:stop], WRITE)

    # -- single elements ---------------------------------------------------------

    def item(self, *args: Any) -> Any:
        """Return one element as a standard Python object; see `numpy.ndarray.item`."""
        if is_tracked(self):
            see(self, READ, places_of(self).item(*args))
        return bare(self).item(*args)

    def itemset(self, *args: Any) -> None:
        """Set one element, where NumPy can do so; see `numpy.ndarray.itemset`."""
        where = args[:-1]
        see(self, WRITE, places_of(self).item(*where[0] if where and isinstance(where[0], tuple) else where))
        bare(self, True).itemset(*args)

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """Set elements by their place in the flattened array; see `numpy.ndarray.put`."""
        np.put(self, indices, values, mode)

    def take(self, *args: Any, **kwargs: Any) -> Any:
        """Return elements by their place along an axis; see `numpy.ndarray.take`."""
        return np.take(self, *args, **kwargs)

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:  # type: ignore[override]
        """Return elements where a condition is true; see `numpy.ndarray.compress`."""
        return np.compress(condition, self, axis, out)

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """Return the sum of a diagonal; see `numpy.ndarray.trace`."""
        return np.trace(self, *args, **kwargs)

    def byteswap(self, inplace: bool = False) -> Any:
        """Swap the bytes of all elements; see `numpy.ndarray.byteswap`."""
        access(self, WRITE if inplace else READ)
        swapped = bare(self, inplace).byteswap(inplace)
        return self if inplace else swapped

    # -- parts of elements, and all of them in a row -------------------------------

    @property
    def real(self) -> Any:
        """The real part, as a view."""
        return super().real

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary part, as a view; zeros of its own if elements have none."""
        return super().imag

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            bare(self).imag = value  # says what is wrong with it
        self.imag[...] = value

    @property
    def flat(self) -> Any:
        """The elements in row-major order; see `numpy.ndarray.flat`."""
        return CheckedFlat(self) if is_tracked(self) else bare(self, True).flat

    @flat.setter
    def flat(self, value: Any) -> None:
        reads(value)
        access(self, WRITE)
        bare(self, True).flat = value


class StrictArray(CheckedArray):
    """A checked array that is read-only to whatever the detector does not see.

    The hooks write through an alias, if the whole array, which nobody else has, is writable.
    """

    __slots__ = ("_alias",)

    _alias: GlobalArray

    def _to_save(self) -> GlobalArray:
        """Return what an undo writes to; it lives as long as this array."""
        self._alias = writable(self)
        return self._alias

    def __array_finalize__(self, obj: Any) -> None:
        """Make views of shared memory read-only; a private copy is its owner's."""
        if isinstance(self.base, StrictArray):
            self.flags.writeable = False


def _through_alias(name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(CheckedArray, name)

    @functools.wraps(method)
    def call(self: StrictArray, /, *args: Any, **kwargs: Any) -> Any:
        return method(writable(self), *args, **kwargs)

    return call


def _reader(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: CheckedArray, /, *args: Any, **kwargs: Any) -> Any:
        access(self, READ)
        reads(args)
        out = kwargs.get("out")
        if out is not None:
            access(out, WRITE)
            kwargs["out"] = bare(out, True)
        machine.hush(1)  # it is seen already
        try:
            result = method(self, *args, **kwargs)
        finally:
            machine.hush(-1)
        return result if out is None else out

    return call


def _writer(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: CheckedArray, /, *args: Any, **kwargs: Any) -> Any:
        access(self, WRITE)
        reads(args)
        return method(bare(self, True), *args, **kwargs)

    return call


def _viewer(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: CheckedArray, /, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        if is_tracked(self) and not np.may_share_memory(bare(self), bare(result)):
            access(self, READ)
        return result

    return call


def _hook(name: str, call: Callable[..., Any]) -> None:
    call.__doc__ = f"Do what `numpy.ndarray.{name}` does, and be seen."
    setattr(CheckedArray, name, call)


for _name in _READERS.split():
    if hasattr(np.ndarray, _name):
        _hook(_name, _reader(getattr(ObservedArray, _name)))
for _name in _WRITERS.split():
    _hook(_name, _writer(getattr(np.ndarray, _name)))
for _name in _VIEWERS.split():
    _hook(_name, _viewer(getattr(ObservedArray, _name)))

for _name in _ATOMICS.split():
    setattr(StrictArray, _name, _through_alias(_name))

# What a program prints is the same with checks and without.
CheckedArray.__name__ = StrictArray.__name__ = "GlobalArray"
machine.bind(CheckedArray, CheckedArray.__dict__["_shadow"])
