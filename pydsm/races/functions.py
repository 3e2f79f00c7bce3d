"""NumPy's functions on checked arrays: what each of them reads and writes.

A function that is not named here reads all arrays that it is given and writes ``out``.  It is called
with plain arrays, so nothing is seen twice; if what it returns lies in a checked array, that is a
checked array again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pydsm.array import root_of
from pydsm.core.place import address_of
from pydsm.races.machine import READ, WRITE, access, bare, is_tracked
from pydsm.races.places import places_of, reads, see

__all__ = ["array_function", "looks_like"]

_LOOKERS: Final = """
reshape ravel transpose matrix_transpose permute_dims squeeze swapaxes moveaxis rollaxis expand_dims
atleast_1d atleast_2d atleast_3d broadcast_to broadcast_arrays split array_split hsplit vsplit dsplit unstack
diagonal real imag flip fliplr flipud rot90
shape ndim size result_type can_cast min_scalar_type common_type iscomplexobj isrealobj
empty_like zeros_like ones_like full_like may_share_memory shares_memory
"""


def _functions(names: str) -> frozenset[Any]:
    return frozenset(getattr(np, name) for name in names.split() if hasattr(np, name))


_LOOKS: Final = _functions(_LOOKERS)


def looks_like(function: Any) -> bool:
    """Say whether a function only looks at shapes or gives views; if those need a copy, the methods say so."""
    return function in _LOOKS


def array_function(self: Any, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what one of NumPy's functions does; see `numpy.ndarray.__array_function__`."""
    if looks_like(function):
        return np.ndarray.__array_function__(self, function, types, args, kwargs)
    written = _SPECIAL.get(function, _reads_all)(*args, **kwargs)
    for array in written:
        access(array, WRITE)
    given = [array for array in _arrays((args, kwargs)) if is_tracked(array)]
    writes = function in _SPECIAL or bool(written)
    plain = tuple(_bare(value, writes) for value in args)
    named = {name: _bare(value, writes) for name, value in kwargs.items()}
    return _tracked(_same(function(*plain, **named), written), given)


def _same(result: Any, written: list[Any]) -> Any:
    """Return the array that was written itself, where the function returns it."""
    if isinstance(result, np.ndarray):
        for array in written:
            if address_of(array) == address_of(result) and array.shape == result.shape:
                return array
    return result


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [array for part in parts for array in _arrays(part)]


def _bare(value: Any, writes: bool) -> Any:
    if isinstance(value, np.ndarray):
        return bare(value, writes)
    if type(value) in (list, tuple):
        return type(value)(_bare(part, writes) for part in value)
    if type(value) is dict:
        return {name: _bare(part, writes) for name, part in value.items()}
    return value


def _tracked(result: Any, given: list[Any]) -> Any:
    """Return a result that lies in one of the arrays given as a checked view of it."""
    if type(result) in (list, tuple):
        return type(result)(_tracked(part, given) for part in result)
    if type(result) is not np.ndarray or result.base is None or result.size == 0:
        return result
    for array in given:
        root = root_of(array)
        offset = address_of(result) - address_of(root)
        if 0 <= offset < root.nbytes:
            raw = root.reshape(-1).view(np.uint8)
            view = np.ndarray.__new__(type(array), result.shape, result.dtype, raw, offset, result.strides)
            view.flags.writeable = view.flags.writeable and result.flags.writeable
            return view
    return result


# -- what functions read and write; each returns what is written as a whole -----------

_Rule = Callable[..., list[Any]]


def _reads_all(*args: Any, out: Any = None, where: Any = True, **kwargs: Any) -> list[Any]:
    reads(args)
    reads(list(kwargs.values()))
    reads(where)
    return [array for array in (out if isinstance(out, tuple) else (out,)) if isinstance(array, np.ndarray)]


def _reads_nothing(*args: Any, **kwargs: Any) -> list[Any]:
    return []


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> list[Any]:
    reads(src)
    if where is True:
        return [dst]
    reads(where)
    access(dst, WRITE, np.broadcast_to(np.asarray(bare(where), bool), dst.shape))
    return []


def _put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> list[Any]:
    reads([ind, v])
    see(a, WRITE, places_of(a).reshape(-1).take(bare(ind), mode=mode))
    return []


def _putmask(a: Any, mask: Any, values: Any) -> list[Any]:
    reads([mask, values])
    see(a, WRITE, places_of(a)[np.broadcast_to(np.asarray(bare(mask), bool), a.shape)])
    return []


def _place(arr: Any, mask: Any, vals: Any) -> list[Any]:
    return _putmask(arr, mask, vals)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> list[Any]:
    reads(val)
    mask = np.zeros(a.shape, bool)
    np.fill_diagonal(mask, True, wrap)
    see(a, WRITE, places_of(a)[mask])
    return []


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> list[Any]:
    reads([indices, values])
    see(arr, WRITE, np.take_along_axis(places_of(arr), bare(indices), axis))
    return []


def _nan_to_num(x: Any, copy: bool = True, **kwargs: Any) -> list[Any]:
    if copy:
        return _reads_all(x, **kwargs)
    return [x]


def _take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: Any = "raise") -> list[Any]:
    reads(indices)
    if isinstance(a, np.ndarray):
        see(a, READ, places_of(a).take(bare(indices), axis, mode=mode))
    return [] if out is None else [out]


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> list[Any]:
    reads(indices)
    see(arr, READ, np.take_along_axis(places_of(arr), bare(indices), axis))
    return []


def _compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> list[Any]:
    reads(condition)
    if isinstance(a, np.ndarray):
        see(a, READ, places_of(a).compress(bare(condition), axis))
    return [] if out is None else [out]


def _trace(a: Any, *args: Any, out: Any = None, **kwargs: Any) -> list[Any]:
    places = {name: value for name, value in kwargs.items() if name != "dtype"}
    see(a, READ, places_of(a).diagonal(*args[:3], **places))
    return [] if out is None else [out]


_SPECIAL: Final[dict[Any, _Rule]] = {
    np.lib.stride_tricks.sliding_window_view: _reads_nothing,
    np.copyto: _copyto,
    np.put: _put,
    np.putmask: _putmask,
    np.place: _place,
    np.fill_diagonal: _fill_diagonal,
    np.put_along_axis: _put_along_axis,
    np.nan_to_num: _nan_to_num,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.compress: _compress,
    np.trace: _trace,
}
