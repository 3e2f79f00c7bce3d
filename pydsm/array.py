"""`GlobalArray`: a NumPy array that worker processes share, with its locks.

A GlobalArray is an ndarray over a shared segment, and nothing is in the way of indexing,
slicing and arithmetic: they run in NumPy as for any other array.  A view shares memory and
locks with its array.  Results of computation are private: plain ndarrays or scalars.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from pydsm import native
from pydsm.accumulate import accumulate
from pydsm.blocks import distribution, get, halo, local, put
from pydsm.core.place import place_of
from pydsm.core.region import RowKey, intervals_of, move
from pydsm.core.stripes import stripes_of
from pydsm.memory.base import Memory, Place
from pydsm.memory.coherent import CoherentMemory
from pydsm.sync.locktable import LockStatistics, LockTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GlobalArray", "is_shared", "memory", "root_of", "rows_of"]

memory: Final[Memory] = CoherentMemory()
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _private(method: _Method) -> _Method:
    """Let an ndarray method hand back a plain ndarray where it makes new memory."""

    @functools.wraps(method)
    def call(self: GlobalArray, /, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        return result.view(np.ndarray) if isinstance(result, GlobalArray) and not is_shared(result) else result

    return call  # type: ignore[return-value]


class GlobalArray(np.ndarray[Any, np.dtype[Any]]):
    """A shared array; made by `create`, `attach`, `Team.array` or `Cluster.createShared`.

    Notes
    -----
    Views (slices, transposes, fields, reshapes that need no copy) share memory and locks.
    What needs new memory is private and has no locks: an index list or a mask still has
    this class, everything else is a plain ndarray.

    Examples
    --------
    >>> import pydsm
    >>> A = pydsm.create("readings", (3, 2))
    >>> with A.locked(1) as row:
    ...     row[:] = 5
    >>> A.sum()
    np.float64(10.0)
    >>> pydsm.unlink("readings")
    """

    __slots__ = ("_place", "_rows")

    _rows: native.Rows
    _place: Place
    locked = native.locked

    def __new__(cls, *args: Any, **kwargs: Any) -> GlobalArray:
        """Refuse: a name and a namespace belong to it."""
        raise TypeError("a GlobalArray is made by pydsm.create, pydsm.attach, Team.array or Cluster.createShared")

    # -- locks and fences --------------------------------------------------------

    def holds(self, rows: RowKey = None, *, shared: bool = False) -> bool:
        """Say whether this thread is inside regions that cover the rows.

        Parameters
        ----------
        rows : int, slice, sequence of int, boolean mask, None or ...
        shared : bool
            Whether a shared region is enough.
        """
        return self.locked(rows, shared=shared).held()

    def fence(self, rows: RowKey = None) -> None:
        """Make my earlier writes complete at home, and see what was complete before.

        Local, never collective: it waits for nobody.  It orders memory only together with
        the fence of another worker, one before and one after whatever tells the second that
        the first is through.

        Parameters
        ----------
        rows : int, slice, sequence of int, boolean mask, None or ...
            The rows that it must do so for; more is allowed.

        Examples
        --------
        >>> import pydsm
        >>> A = pydsm.create("flags", 2, int)
        >>> A[0] = 1
        >>> A.fence()
        >>> pydsm.unlink("flags")
        """
        rows_of(self)
        if rows is not None:
            intervals_of(rows, len(self), self.name or "")
        memory.fence()

    def assert_exclusive(self, rows: RowKey = None) -> None:
        """Say that no other worker accesses these rows now; only a check for races looks whether that is so.

        Parameters
        ----------
        rows : int, slice, sequence of int, boolean mask, None or ...
        """
        if rows is not None:
            intervals_of(rows, len(self), self.name or "")

    def statistics(self) -> LockStatistics:
        """Return what the locks of the array have seen, from all workers."""
        return self._table.statistics(rows_of(self).locks)

    # -- atomic operations --------------------------------------------------------

    fetch_add = native.fetch_add
    fetch_min = native.fetch_min
    fetch_max = native.fetch_max
    fetch_and = native.fetch_and
    fetch_or = native.fetch_or
    fetch_xor = native.fetch_xor
    swap = native.swap
    compare_and_swap = native.compare_and_swap
    load_acquire = native.load_acquire
    store_release = native.store_release
    wait_until = native.wait_until
    accumulate = accumulate

    # -- rows by block -------------------------------------------------------------

    distribution = distribution
    local = local
    halo = halo
    get = get
    put = put

    # -- what it is --------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The array's name; a view has its array's, a private copy has None."""
        return self._table.name if is_shared(self) else None

    @property
    def namespace(self) -> str:
        """The namespace the name is in: ``namespace/name`` attaches it from elsewhere."""
        return self._table.namespace.known_as

    @property
    def rows(self) -> int:
        """The length of axis 0: what can be locked apart, at most."""
        return len(self)

    @property
    def stripes(self) -> int:
        """How many lock words guard the rows of the whole array."""
        return self._table.stripes

    @property
    def _table(self) -> LockTable:
        table: LockTable = rows_of(self).locks.policy
        return table

    # -- ndarray's protocols -----------------------------------------------------

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        if array is self:
            return array
        if isinstance(array.base, GlobalArray):  # a view that NumPy wraps, as squeeze does
            return array.view(type(self))
        return array[()] if return_scalar else array.view(np.ndarray)

    def __copy__(self) -> NDArray[Any]:  # type: ignore[override]
        return np.array(self)

    def __deepcopy__(self, memo: Any) -> NDArray[Any]:  # type: ignore[override]
        return np.array(self)

    argmax = _private(np.ndarray.argmax)
    argmin = _private(np.ndarray.argmin)
    argpartition = _private(np.ndarray.argpartition)
    argsort = _private(np.ndarray.argsort)
    astype = _private(np.ndarray.astype)
    byteswap = _private(np.ndarray.byteswap)
    choose = _private(np.ndarray.choose)
    compress = _private(np.ndarray.compress)
    copy = _private(np.ndarray.copy)
    cumprod = _private(np.ndarray.cumprod)
    cumsum = _private(np.ndarray.cumsum)
    diagonal = _private(np.ndarray.diagonal)
    dot = _private(np.ndarray.dot)
    flatten = _private(np.ndarray.flatten)
    repeat = _private(np.ndarray.repeat)
    reshape = _private(np.ndarray.reshape)
    round = _private(np.ndarray.round)
    searchsorted = _private(np.ndarray.searchsorted)
    take = _private(np.ndarray.take)
    trace = _private(np.ndarray.trace)


def rows_of(array: GlobalArray) -> native.Rows:
    """Return where an array's rows lie; TypeError for a private copy."""
    known: native.Rows | None = getattr(array, "_rows", None)
    if known is not None and (known.count, known.stride) == ((len(array), array.strides[0]) if array.ndim else (1, 0)):
        return known
    root = root_of(array)
    whole: native.Rows | None = getattr(root, "_rows", None)
    if whole is None:
        raise TypeError(
            "this array is a private copy: only arrays from pydsm.create, pydsm.attach or a team, "
            "and views of them, have locks and atomic operations"
        )
    origin, step, span = place_of(array, root)
    array._rows = native.Rows(
        whole.locks,
        array,
        origin=origin,
        step=step,
        span=span,
        block=whole.block,
        guarded=whole.guarded,
        whole=whole,
    )
    return array._rows


def root_of(array: GlobalArray) -> GlobalArray:
    """Return the whole array that an array is a view of."""
    while isinstance(array.base, GlobalArray):
        array = array.base
    return array


def is_shared(array: GlobalArray) -> bool:
    """Say whether an array lies in shared memory: else it is a private copy."""
    return getattr(root_of(array), "_rows", None) is not None


def _read_rows(array: GlobalArray, rows: native.Rows, key: Any) -> tuple[int, int, NDArray[np.intp] | None]:
    """Return the stripes of a key that native code does not read, or say what is wrong with it."""
    intervals = intervals_of(key, rows.count, array.name or "")
    if len(intervals) == 0:
        return 0, 0, None
    if rows.step == 0:
        intervals = np.array([[rows.origin, rows.origin + rows.span]])[: min(1, rows.span)]
    else:
        intervals = move(intervals, rows.origin, rows.step)
    stripes = stripes_of(intervals, rows.block)
    if len(stripes) == 0:
        return 0, 0, None
    if int(stripes[-1]) - int(stripes[0]) == len(stripes) - 1:
        return int(stripes[0]), int(stripes[-1]) + 1, None
    return 0, len(stripes), stripes


native.bind(GlobalArray, GlobalArray.__dict__["_rows"], rows_of, _read_rows)
