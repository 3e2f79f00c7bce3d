"""Arrays by name: creating, attaching, unlinking, and handles.

A handle is what pickles instead of an array: its name, and where in it a view lies.
"""

from __future__ import annotations

import copyreg
import math
import operator
import os
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pydsm import native
from pydsm.array import GlobalArray, is_shared, memory, root_of
from pydsm.core import names
from pydsm.core.events import observers
from pydsm.core.layout import Description
from pydsm.core.place import address_of
from pydsm.core.stripes import block_size
from pydsm.errors import NoRoomError, SegmentError
from pydsm.ipc.segment import is_typed
from pydsm.memory.base import Backing
from pydsm.sync.locktable import LockTable
from pydsm.sync.namespace import Namespace, default_name

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
    "Access",
    "attach",
    "create",
    "create_in",
    "mapped_in",
    "pickle_as_handle",
    "unlink",
    "unlink_in",
    "use_namespace",
]

Access = Literal["open", "guarded"]
_MAX_STRIPES: Final = 1 << 22
_MAX_BYTES: Final = 1 << 62
_attached: weakref.WeakValueDictionary[tuple[str, str, int], GlobalArray] = weakref.WeakValueDictionary()
_mapped: weakref.WeakValueDictionary[tuple[int, str, bool, int], GlobalArray] = weakref.WeakValueDictionary()
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
    if stripes is None and namespace.elsewhere is not None:
        stripes = namespace.elsewhere.stripes_for(extents[0], size)
    block = block_size(extents[0], _exact_stripes(stripes, name))
    if access not in ("open", "guarded"):
        raise ValueError(f"access of array {name!r} is 'open' or 'guarded', not {access!r}")
    if not isinstance(huge, bool):
        raise TypeError(f"huge of array {name!r} is True or False, not {huge!r}")
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
        huge=huge,
    )
    backing = memory.create(namespace, description, max(1, -(-extents[0] // block)))
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
    if readonly and known and known.array_class and observers():  # a second mapping would be a second replica
        array = attach(name)
        array.flags.writeable = False
        return array
    root = _mapped_here(known, bare, readonly) if known else None
    if root is not None:
        return root.view()
    return _array(memory.attach(_namespace(where, create=False), bare, readonly=readonly), readonly=readonly)


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
    memory.unlink(namespace, name)


def _namespace(where: str | None, *, create: bool = True) -> Namespace:
    if where is not None:
        return Namespace.join_or_create(where, fresh=True) if create else Namespace.open(where)
    return _current or Namespace.join_or_create(default_name(), fresh=create)


def _mapped_here(namespace: Namespace, name: str, readonly: bool) -> GlobalArray | None:
    """Return an array that this process has mapped, if its names still mean that."""
    root = _mapped.get((namespace.space, name, readonly, os.geteuid()))  # a child may have become another user
    if root is not None:
        table: LockTable = root._rows.locks.policy
        if table.is_intact() and memory.is_at(namespace, table.description, root._place):
            return root
    return None


def mapped_in(namespace: Namespace) -> list[GlobalArray]:
    """Return the whole arrays of a namespace that this process has mapped."""
    return [root for root in _mapped.values() if root._table.namespace is namespace]


def _array(backing: Backing, *, readonly: bool, array_class: type[GlobalArray] | None = None) -> GlobalArray:
    description = backing.description
    table: LockTable = backing.locks.policy
    # The root stays hidden: its shape is what places all views, and a user may set theirs.
    root: GlobalArray = backing.data.view(array_class or table.namespace.array_class or GlobalArray)
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
    _mapped[table.namespace.space, table.name, readonly, os.geteuid()] = root
    if not readonly:
        _attached[table.namespace.name, table.name, table.array_id] = root
    if table.namespace.array_class is not None:
        for observer in observers():
            observer.mapped(root, description, table.array_id)
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


def _handle_of(array: GlobalArray) -> Any:
    """Return how an array is pickled: by name, or as a plain ndarray if it is a private copy."""
    if not is_shared(array):
        return array.view(np.ndarray).__reduce__()
    table, root = array._table, root_of(array)
    offset = address_of(array) - address_of(root)
    return _restore, (
        (table.namespace.known_as, table.name, table.array_id),
        (offset, array.shape, array.strides, array.dtype),
        array.flags.writeable,
        _is_mapped_readonly(root),
        type(array),
    )


def _is_mapped_readonly(root: GlobalArray) -> bool:
    return root.base is not None and not root.base.flags.writeable


def _restore(
    where: tuple[str, str, int],
    view: tuple[int, tuple[int, ...], tuple[int, ...], np.dtype[Any]],
    writeable: bool,
    readonly: bool,
    array_class: type[GlobalArray],
) -> GlobalArray:
    """Make the array or view that a pickled handle stands for."""
    root = None if readonly else _attached.get(where)
    if root is None:
        namespace, name, array_id = where
        space = Namespace.open(namespace)
        root = _mapped_here(space, name, readonly)
        if root is None:
            backing = memory.attach(space, name, readonly=readonly)
            root = root_of(_array(backing, readonly=readonly, array_class=array_class))
        if root._table.array_id != array_id:
            raise SegmentError(f"array {name!r} was removed and made anew since this handle was pickled")
    offset, shape, strides, dtype = view
    raw = root.reshape(-1).view(np.uint8)
    place = (0, None) if 0 in shape else (offset, strides)  # NumPy wants even nothing to lie inside
    restored = np.ndarray.__new__(type(root), shape, dtype, raw, *place)
    if not writeable:
        restored.flags.writeable = False
    return restored


def pickle_as_handle(array_class: type[GlobalArray]) -> None:
    """Let arrays of a class pickle as handles."""
    copyreg.pickle(array_class, _handle_of)


pickle_as_handle(GlobalArray)
