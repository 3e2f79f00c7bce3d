"""`GlobalArray`: a NumPy array that worker processes share, with its locks.

A GlobalArray is an ndarray over a shared segment, and nothing is in the way of indexing,
slicing and arithmetic: they run in NumPy as for any other array.  A view shares memory and
locks with its array.  Results of computation are private: plain ndarrays or scalars.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np

from pydsm import native
from pydsm.accumulate import accumulate
from pydsm.core import names
from pydsm.core.layout import Description
from pydsm.core.region import RowKey, intervals_of, move
from pydsm.core.stripes import block_size, stripes_of
from pydsm.errors import NoRoomError, SegmentError
from pydsm.ipc.segment import is_typed
from pydsm.memory.base import Backing, Memory, Place
from pydsm.memory.coherent import CoherentMemory
from pydsm.sync.locktable import LockStatistics, LockTable
from pydsm.sync.namespace import Namespace, default_name

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["Access", "GlobalArray", "attach", "create", "create_in", "unlink", "unlink_in", "use_namespace"]

Access = Literal["open", "guarded"]
_MAX_STRIPES: Final = 1 << 22
_MAX_BYTES: Final = 1 << 62
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _private(method: _Method) -> _Method:
    """Let an ndarray method hand back a plain ndarray where it makes new memory."""

    @functools.wraps(method)
    def call(self: GlobalArray, /, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        return result.view(np.ndarray) if isinstance(result, GlobalArray) and not _is_shared(result) else result

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
        _memory.fence()

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

    # -- what it is --------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The array's name; a view has its array's, a private copy has None."""
        return self._table.name if _is_shared(self) else None

    @property
    def namespace(self) -> str:
        """The namespace the name is in: ``namespace/name`` attaches it from elsewhere."""
        return self._table.namespace.name

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
            return array.view(GlobalArray)
        return array[()] if return_scalar else array.view(np.ndarray)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __reduce__(self) -> Any:
        if not _is_shared(self):
            return self.view(np.ndarray).__reduce__()
        table, root = self._table, _root(self)
        offset = _address(self) - _address(root)
        return _restore, (
            (table.namespace.name, table.name, table.array_id),
            (offset, self.shape, self.strides, self.dtype),
            self.flags.writeable,
            _is_mapped_readonly(root),
        )

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


_memory: Memory = CoherentMemory()
_attached: weakref.WeakValueDictionary[tuple[str, str, int], GlobalArray] = weakref.WeakValueDictionary()
_mapped: weakref.WeakValueDictionary[tuple[int, str, bool], GlobalArray] = weakref.WeakValueDictionary()
_current: Namespace | None = None


def use_namespace(namespace: Namespace | None) -> None:
    """Let bare names mean this namespace, in a worker of its team."""
    global _current
    _current = namespace


def create(
    name: str,
    shape: int | Iterable[int],
    dtype: DTypeLike = float,
    *,
    stripes: int | None = None,
    access: Access = "open",
    file: str | os.PathLike[str] | None = None,
    huge: bool = False,
) -> GlobalArray:
    """Create a shared array of zeros.

    Outside of workers it lives as long as a process that has its namespace open, or until
    `unlink`; in a worker it belongs to the worker's team.

    Parameters
    ----------
    name : str
        Unique in its namespace; ``"namespace/name"`` names another namespace than the
        user's default one.
    shape : int or tuple of int
        At least one axis: rows are what is locked.
    dtype : dtype
        Anything of fixed size; no object arrays.
    stripes : int, optional
        How many lock words to spread over the rows, one per row up to 512 unless given.
    access : {"open", "guarded"}
        ``"guarded"``: the array itself is read-only, in every process; only the view that
        ``with A.locked(rows) as view`` gives can be written.
    file : path, optional
        Keep the elements in this file.  An existing file of the same shape and dtype is
        taken with what it holds; it stays when the array is unlinked.
    huge : bool
        Ask the kernel for huge pages (2 MB with most processors), as far as whole ones fit: a
        large array is made and first touched in less time, and random rows of it are reached
        faster.  A RuntimeWarning if the kernel (Linux 6.1 or later) does not grant them.

    Returns
    -------
    GlobalArray

    Raises
    ------
    NameExistsError
        The name is taken (a FileExistsError and a KeyError).
    NoRoomError
        It does not fit (a MemoryError); nothing was created.
    ValueError, TypeError

    Examples
    --------
    >>> import pydsm
    >>> H = pydsm.create("H", 1000, int, access="guarded")
    >>> with H.locked(slice(10, 20)) as rows:
    ...     rows += 1
    >>> H[10:20].sum()
    np.int64(10)
    >>> pydsm.unlink("H")
    """
    where, bare = names.split(name)
    return create_in(_namespace(where), bare, shape, dtype, stripes=stripes, access=access, file=file, huge=huge)


def create_in(
    namespace: Namespace,
    name: str,
    shape: int | Iterable[int],
    dtype: DTypeLike,
    *,
    stripes: int | None = None,
    access: Access = "open",
    file: str | os.PathLike[str] | None = None,
    huge: bool = False,
) -> GlobalArray:
    """Create a shared array in a given namespace; see `create`."""
    names.check_name(name)
    exact = _exact_dtype(dtype, name)
    extents = _exact_shape(shape, name)
    if exact.subdtype is not None:
        exact, inner = exact.subdtype
        extents += inner
    size = math.prod(extent or 1 for extent in extents) * exact.itemsize  # NumPy counts so too
    if size > _MAX_BYTES:
        raise NoRoomError(
            f"array {name!r} of shape {extents} and dtype {exact} is larger than any memory",
            wanted=size,
            free=0,
        )
    block = block_size(extents[0], _exact_stripes(stripes, name))
    if access not in ("open", "guarded"):
        raise ValueError(f"access of array {name!r} is 'open' or 'guarded', not {access!r}")
    if huge and file is not None:
        raise ValueError(f"array {name!r} cannot have huge pages: it is in a file")
    description = Description(
        name,
        extents,
        Description.text_of(exact),
        block,
        guarded=access == "guarded",
        typed=is_typed(exact),
        file=None if file is None else os.path.abspath(os.fspath(file)),
        huge=bool(huge),
    )
    backing = _memory.create(namespace, description, max(1, -(-extents[0] // block)))
    return _array(backing, readonly=False)


def attach(name: str, *, readonly: bool = False) -> GlobalArray:
    """Attach an existing shared array.

    What this process has mapped already, under a name that still means it, is not mapped again.

    Parameters
    ----------
    name : str
        A name in this worker's team or in the user's default namespace, or
        ``"namespace/name"``.
    readonly : bool
        Map the elements so that nothing can write them from here.

    Raises
    ------
    UnknownNameError
        There is no such array; the message lists those there are.
    SegmentError
        What has the name is not an array of pydsm's.

    Examples
    --------
    >>> import pydsm
    >>> A = pydsm.create("shared", 3, int)
    >>> B = pydsm.attach("shared")
    >>> B[1] = 4
    >>> A.tolist()
    [0, 4, 0]
    >>> pydsm.unlink("shared")
    """
    where, bare = names.split(name)
    known = Namespace.opened(where) if where else _current or Namespace.opened(default_name(), kept=True)
    root = _mapped_here(known, bare, readonly) if known else None
    if root is not None:
        return root.view()
    return _array(_memory.attach(_namespace(where, create=False), bare, readonly=readonly), readonly=readonly)


def unlink(name: str) -> None:
    """Remove an array's name; who has it mapped goes on, its memory goes with the last.

    Raises
    ------
    UnknownNameError
    """
    where, bare = names.split(name)
    unlink_in(_namespace(where, create=False), bare)


def unlink_in(namespace: Namespace, name: str) -> None:
    """Remove the names of an array or a named lock from a given namespace."""
    _memory.unlink(namespace, name)


def rows_of(array: GlobalArray) -> native.Rows:
    """Return where an array's rows lie; TypeError for a private copy."""
    known: native.Rows | None = getattr(array, "_rows", None)
    if known is not None and (known.count, known.stride) == ((len(array), array.strides[0]) if array.ndim else (1, 0)):
        return known
    root = _root(array)
    whole: native.Rows | None = getattr(root, "_rows", None)
    if whole is None:
        raise TypeError(
            "this array is a private copy and has no locks: only arrays from pydsm.create, "
            "pydsm.attach or a team, and views of them, can be locked"
        )
    origin, step, span = _place(array, root)
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


def _namespace(where: str | None, *, create: bool = True) -> Namespace:
    if where is not None:
        return Namespace.join_or_create(where, fresh=True) if create else Namespace.open(where)
    return _current or Namespace.join_or_create(default_name(), fresh=create)


def _mapped_here(namespace: Namespace, name: str, readonly: bool) -> GlobalArray | None:
    """Return an array that this process has mapped, if its names still mean that."""
    root = _mapped.get((namespace.space, name, readonly))
    if root is not None:
        table: LockTable = root._rows.locks.policy
        if table.is_intact() and _memory.is_at(namespace, table.description, root._place):
            return root
    return None


def _array(backing: Backing, *, readonly: bool) -> GlobalArray:
    description = backing.description
    # The root stays hidden: its shape is what places all views, and a user may set theirs.
    root = backing.data.view(GlobalArray)
    if description.guarded:
        root.flags.writeable = False
    root._rows = native.Rows(
        backing.locks,
        root,
        origin=0,
        step=1,
        span=description.shape[0],
        block=description.block,
        guarded=description.guarded and not readonly,
    )
    root._place = backing.place
    table: LockTable = backing.locks.policy
    _mapped[table.namespace.space, table.name, readonly] = root
    if not readonly:
        _attached[table.namespace.name, table.name, table.array_id] = root
    return root.view()


def _exact_dtype(dtype: DTypeLike, name: str) -> np.dtype[Any]:
    exact = np.dtype(dtype)
    if exact.hasobject or exact.kind == "T":
        raise TypeError(f"array {name!r} cannot have dtype {exact}: its elements would point into one process only")
    if exact.itemsize == 0:
        hint = "; strings need a length, as in 'U20'" if exact.kind in "SU" else ""
        raise TypeError(f"array {name!r} cannot have dtype {exact}: its elements have no bytes{hint}")
    return exact


def _exact_shape(shape: int | Iterable[int], name: str) -> tuple[int, ...]:
    try:
        extents = tuple(map(operator.index, shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        raise TypeError(f"shape of array {name!r} is an int or a tuple of ints, not {shape!r}") from None
    if not extents:
        raise ValueError(f"array {name!r} needs at least one axis: rows are what is locked")
    if min(extents) < 0:
        raise ValueError(f"array {name!r} cannot have the negative shape {extents}")
    if len(extents) > 32:
        raise ValueError(f"array {name!r} has {len(extents)} axes, more than 32")
    return extents


def _exact_stripes(stripes: int | None, name: str) -> int | None:
    if stripes is None:
        return None
    exact = operator.index(stripes)
    if not 1 <= exact <= _MAX_STRIPES:
        raise ValueError(f"array {name!r} can have 1 to {_MAX_STRIPES} stripes, not {exact}")
    return exact


def _root(array: GlobalArray) -> GlobalArray:
    while isinstance(array.base, GlobalArray):
        array = array.base
    return array


def _is_shared(array: GlobalArray) -> bool:
    return getattr(_root(array), "_rows", None) is not None


def _is_mapped_readonly(root: GlobalArray) -> bool:
    return root.base is not None and not root.base.flags.writeable


def _address(array: GlobalArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _place(view: GlobalArray, root: GlobalArray) -> tuple[int, int, int]:
    """Return origin, step and span of a view's rows among its array's (see `native.Rows`)."""
    if view.shape == root.shape and view.strides == root.strides:
        return 0, 1, len(root)
    if view.size == 0:
        return 0, 0, 0
    row_bytes = root.strides[0] if root.shape[0] > 1 else max(1, root.nbytes)
    start = _address(view) - _address(root)
    low, high = _extent(view.shape[1:], view.strides[1:], view.itemsize)
    first, last = (start + low) // row_bytes, (start + high - 1) // row_bytes
    if view.ndim and view.strides[0] % row_bytes == 0 and first == last:
        return first, view.strides[0] // row_bytes, 1
    low, high = _extent(view.shape, view.strides, view.itemsize)
    first, last = (start + low) // row_bytes, (start + high - 1) // row_bytes
    return first, 0, last - first + 1


def _extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return the bytes before and behind the first element that the elements span."""
    reach = [(count - 1) * stride for count, stride in zip(shape, strides, strict=True)]
    return sum(min(0, n) for n in reach), sum(max(0, n) for n in reach) + itemsize


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


def _restore(
    where: tuple[str, str, int],
    view: tuple[int, tuple[int, ...], tuple[int, ...], np.dtype[Any]],
    writeable: bool,
    readonly: bool,
) -> GlobalArray:
    """Make the array or view that a pickled handle stands for."""
    root = None if readonly else _attached.get(where)
    if root is None:
        namespace, name, array_id = where
        space = Namespace.open(namespace)
        root = _mapped_here(space, name, readonly)
        if root is None:
            root = _root(_array(_memory.attach(space, name, readonly=readonly), readonly=readonly))
        if root._table.array_id != array_id:
            raise SegmentError(f"array {name!r} was removed and made anew since this handle was pickled")
    offset, shape, strides, dtype = view
    raw = root.reshape(-1).view(np.uint8)
    place = (0, None) if 0 in shape else (offset, strides)  # NumPy wants even nothing to lie inside
    restored = np.ndarray.__new__(GlobalArray, shape, dtype, raw, *place)
    if not writeable:
        restored.flags.writeable = False
    return restored


native.bind(GlobalArray, GlobalArray.__dict__["_rows"], rows_of, _read_rows)
