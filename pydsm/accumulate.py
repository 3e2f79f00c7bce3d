"""Many atomic updates of an array in one call: what is meant, and which way is faster.

There are two ways, and both are atomic element by element.  *Each*: an atomic operation for
every update, some 8 ns apiece, through a table of a few hundred elements in which updates
of the same hot element are combined before they go out.  *Merged*: all updates are combined in
private memory as large as the array, where one costs 1 to 2 ns and nobody meets anybody,
and then every touched element is updated once, in the order of memory, so that workers who
meet there hand each other whole cache lines.  Filling and reading that memory pays as soon as there
are as many updates as rows; where it is too large for the cache, one worker alone loses a little
and workers who meet win (measured with 16 thousand to 10 million rows; benchmarks/accumulate.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.ops import check_op
from pydsm.core.region import intervals_of
from pydsm.native import locks_of, refuse_readonly, update_elements

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pydsm.core.region import RowKey

__all__ = ["accumulate", "planned"]

_LARGE: Final = 1 << 28  # bytes: more private memory is not taken for a call


def accumulate(self: Any, rows: RowKey, values: ArrayLike, op: str = "add") -> None:
    """Combine values into rows, every element atomically; a row named twice gets both.

    The interpreter lock is released meanwhile, and no lock of the array is taken or looked
    at: what several workers accumulate into they must not update in `locked` regions at the
    same time.

    Parameters
    ----------
    rows : int, slice, sequence of int, boolean mask, None or ...
        An index of axis 0; None and ``...`` mean all rows.
    values : array_like
        Of a shape that broadcasts to that of ``A[rows]``, of a dtype that casts to the
        array's as NumPy's ``same_kind`` does.
    op : {"add", "mul", "min", "max", "and", "or", "xor"}
        As ``np.add.at``, ``np.multiply.at``, ``np.minimum.at`` ...

    Raises
    ------
    IndexError
        A row is out of range; nothing was changed.
    TypeError
        The dtype cannot be atomic, or has no such operation, or the values are of another kind.
    ValueError
        The values do not broadcast, there is no such `op`, or the array is read-only here.
    OverflowError
        Ints that do not fit.

    Notes
    -----
    Integers come out the same in whatever order updates happen.  Floats depend on it: values
    for one row may be combined with one another before they are combined with the element, and
    workers get there in any order, so the last bits may differ from run to run, and so may
    what overflows or underflows on the way.

    A worker that dies in the middle has done some of the updates.  Each element is whole.

    Examples
    --------
    >>> import numpy as np, pydsm
    >>> with pydsm.Team(2) as team:
    ...     H = team.array("H", 4, int)
    ...     results = team.run(lambda worker: H.accumulate([0, 3, 3], 1))
    ...     H.tolist()
    [2, 0, 0, 4]
    """
    check_op(op)
    which = _read(rows, self)
    given = _as_values(values, self)
    spread = _spread(given, which, self)
    _check(self, op)  # after what may run code of the caller's
    bad = update_elements(
        self,
        which.index,
        which.first,
        which.step,
        which.count,
        math.prod(self.shape[1:]),
        _offsets(self),
        spread,
        spread.strides[0],
        _offsets(spread),
        op,
        which.index is not None and self.nbytes <= _LARGE and which.count >= len(self),
    )
    if bad >= 0:
        assert which.index is not None
        raise IndexError(
            f"row {which.index[bad]} is out of range for array {self.name!r} with {len(self)} rows; nothing was changed"
        )


def planned(self: Any, rows: RowKey, values: ArrayLike, op: str) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return which rows `accumulate` would update, one after the other, and the value for each element of them."""
    check_op(op)
    which = _read(rows, self)
    spread = _spread(_as_values(values, self), which, self)
    _check(self, op)
    if which.index is None:
        return np.arange(which.count, dtype=np.intp) * which.step + which.first, spread
    bad = np.flatnonzero((which.index < -len(self)) | (which.index >= len(self)))
    if len(bad):
        raise IndexError(
            f"row {which.index[bad[0]]} is out of range for array {self.name!r} with {len(self)} rows; "
            "nothing was changed"
        )
    return np.where(which.index < 0, which.index + len(self), which.index), spread


def _spread(given: NDArray[Any], which: _Rows, array: Any) -> NDArray[Any]:
    """Return the values as broadcast over the rows, and not those of the array itself."""
    shape = (which.count, *array.shape[1:])
    if _is_of(given, array):
        given = given.copy()
    if given.shape == shape:
        return given
    try:
        return np.broadcast_to(given, shape)
    except ValueError:
        wanted = shape if which.axis else array.shape[1:]
        raise ValueError(
            f"values of shape {given.shape} do not broadcast to the shape {wanted} of rows of array {array.name!r}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as native code wants them: an index, or the first of `count` and the step."""

    count: int
    first: int = 0
    step: int = 1
    index: NDArray[np.intp] | None = None
    axis: bool = True


def _read(key: RowKey, array: Any) -> _Rows:
    if array.ndim == 0:
        if key is not None and key is not Ellipsis:
            raise IndexError(f"this view of array {array.name!r} has no axis to take rows {key!r} of")
        return _Rows(1, axis=False)
    count = len(array)
    if key is None or key is Ellipsis:
        return _Rows(count)
    if type(key) is np.ndarray and key.dtype == np.intp and key.ndim == 1 and not _is_of(key, array):
        return _Rows(len(key), index=np.ascontiguousarray(key))
    if (type(key) is int or isinstance(key, np.integer)) and -count <= key < count:
        return _Rows(1, int(key) % count, axis=False)
    if isinstance(key, slice):
        wanted = range(count)[key]
        return _Rows(len(wanted), wanted.start, wanted.step)
    if isinstance(key, (list, range, np.ndarray)) and np.ndim(key) == 1:
        index = np.asarray(key)
        if index.size == 0 and index.dtype != bool:
            return _Rows(0)
        if index.dtype == bool and len(index) == count:
            index = np.flatnonzero(index)
        if index.dtype.kind == "i" or (index.dtype.kind == "u" and index.dtype.itemsize < 8):
            return _Rows(len(index), index=index.astype(np.intp))  # a copy: it may be the array's own
    intervals = intervals_of(key, count, array.name or "")  # whatever is wrong with it, this says so
    if np.ndim(key) == 0:
        return _Rows(1, int(intervals[0, 0]), axis=False)
    index = np.asarray(key).astype(np.intp)
    return _Rows(len(index), index=index)


def _check(array: Any, op: str) -> None:
    if not array.flags.writeable:
        refuse_readonly(array)
    kind = array.dtype.kind
    if kind == "b" and op in ("add", "mul"):
        raise TypeError(f"array {array.name!r} of dtype bool has no {op!r}: it has 'and', 'or', 'xor', 'min' and 'max'")
    if kind == "f" and op in ("and", "or", "xor"):
        raise TypeError(f"array {array.name!r} of dtype {array.dtype} has no {op!r}: its elements are floats")


def _is_of(other: Any, array: Any) -> bool:
    """Say whether two arrays are of the same shared memory, which may be mapped twice."""
    locks = locks_of(array)
    while isinstance(other, np.ndarray):
        rows = getattr(other, "_rows", None)  # a whole array has it at least
        if rows is not None and rows.locks is locks:
            return True
        other = other.base
    return False


def _as_values(values: ArrayLike, array: Any) -> NDArray[Any]:
    """Return the values in the array's dtype, aligned; they keep their own shape."""
    given = np.asarray(values)
    if given.dtype == array.dtype:
        return given if given.flags.aligned else given.copy()
    if not isinstance(values, (np.ndarray, np.generic)) and given.dtype.kind in "iu" and array.dtype.kind in "iu":
        try:
            given = np.asarray(values, array.dtype)  # as A[i] = 300 does
        except OverflowError as error:
            raise OverflowError(f"values do not fit array {array.name!r} of dtype {array.dtype}: {error}") from None
    if not np.can_cast(given.dtype, array.dtype, "same_kind"):
        raise TypeError(
            f"values of dtype {given.dtype} cannot be combined with array {array.name!r} of dtype {array.dtype}; "
            "values.astype(A.dtype) says that you mean it"
        )
    return np.require(given, array.dtype, "A")


def _offsets(array: NDArray[Any]) -> NDArray[np.intp] | None:
    """Return where in a row its elements are, in bytes; None if they follow one another."""
    inner = array.strides[1:]
    expected = array.itemsize
    for extent, stride in zip(array.shape[:0:-1], inner[::-1], strict=True):
        if extent != 1 and stride != expected:
            break
        expected *= extent
    else:
        return None
    offsets = np.zeros((), np.intp)
    for extent, stride in zip(array.shape[1:], inner, strict=True):
        offsets = offsets[..., None] + np.arange(extent, dtype=np.intp) * stride
    return np.ascontiguousarray(offsets.reshape(-1))
