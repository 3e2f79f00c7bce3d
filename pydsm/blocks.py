"""Rows by block: which part of an array is a worker's own, and copies of rows that are not.

On one node a part is nobody's more than another's, and these are slices and copies.  On several nodes a worker's own
rows have their home on its node, so that to lock them and to write them takes no message.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from pydsm.core.region import RowKey

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["distribution", "get", "halo", "local", "put"]


def distribution(self: Any, rank: int) -> slice:
    """Return the rows that are a worker's own, as a slice: blocks in the order of ranks, whole stripes.

    Parameters
    ----------
    rank : int
        Of a worker of the array's team.

    Raises
    ------
    IndexError
        There is no such worker.
    ValueError
        This is a view; its array's rows are what is distributed.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(3) as team:
    ...     A = team.array("A", 10)
    ...     [A.distribution(rank) for rank in range(3)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    table = self._table
    size = max(1, table.namespace.team_size)
    wanted = operator.index(rank)
    if not -size <= wanted < size:
        raise IndexError(f"array {self.name!r} is of a team of {size} workers, which has no rank {rank}")
    rows, block = table.description.shape[0], table.description.block
    if self.ndim == 0 or len(self) != rows:
        raise ValueError(f"a view of array {self.name!r} has no blocks of its own: ask the array")
    wanted %= size
    first, stop = (table.stripes * part // size * block for part in (wanted, wanted + 1))
    return slice(min(first, rows), min(stop, rows))


def local(self: Any) -> Any:
    """In a worker: return a view of its own rows; see `distribution`.

    Examples
    --------
    >>> import pydsm
    >>> def program(worker):
    ...     worker["A"].local()[:] = worker.rank
    >>> with pydsm.Team(2) as team:
    ...     A = team.array("A", 5, int)
    ...     results = team.run(program)
    ...     A.tolist()
    [0, 0, 1, 1, 1]
    """
    return self[self.distribution(_rank(self, "local()"))]


def halo(self: Any, width: int = 1) -> Any:
    """In a worker: bring in the rows up to `width` beside its own; return a view of those and its own.

    As `fence` it shows what was complete before; who writes those rows says when they are.

    Examples
    --------
    >>> import numpy as np, pydsm
    >>> def program(worker):
    ...     A = worker["A"]
    ...     A.local()[:] = worker.rank + 1
    ...     A.fence()
    ...     worker.barrier()
    ...     return A.halo(1).tolist()
    >>> with pydsm.Team(2) as team:
    ...     A = team.array("A", 4, int)
    ...     team.run(program)
    [[1, 1, 2], [1, 2, 2]]
    """
    if operator.index(width) < 0:
        raise ValueError(f"a halo is 0 rows wide or more, not {width}")
    own = self.distribution(_rank(self, "halo()"))
    around = slice(max(0, own.start - width), min(len(self), own.stop + width))
    self.fence(around)
    return self[around]


def get(self: Any, rows: RowKey = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return a private copy of rows as they are at home, without a lock.

    Parameters
    ----------
    rows : int, slice, sequence of int, boolean mask, None or ...
        Indices of axis 0; None and ``...`` mean all rows.  Of one row there is an array, too, without that axis.
    out : ndarray, optional
        Where the copy goes, of its shape and dtype: new memory costs as much as the copy into it.

    Raises
    ------
    IndexError, TypeError, ValueError
        `rows` are no rows of this array; `out` is no array, or cannot take the copy.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", 4, int)
    ...     A.put([1, 3], 7)
    ...     A.get(slice(1, 4)).tolist()
    [7, 0, 7]
    """
    self.fence(rows)
    found = np.asarray(self[slice(None) if rows is None or rows is Ellipsis else rows, ...])  # one row is an array, too
    if out is None:
        return np.array(found)
    check_out(out, found.shape, found.dtype)
    out[...] = found
    return out


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless an array can take a copy of a shape and dtype as it is."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is an array of shape {shape} and {dtype}, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"the copy has shape {shape} and {dtype}, out has shape {out.shape} and {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def put(self: Any, rows: RowKey, values: ArrayLike, mode: Any = None) -> None:
    """Write rows, without a lock; they are complete at home when this returns.

    Parameters
    ----------
    rows : int, slice, sequence of int, boolean mask, None or ...
        Indices of axis 0, not of the flattened array; None and ``...`` mean all rows.
    values : array_like
        What NumPy can broadcast to the rows, and convert to the array's dtype.
    mode : optional
        As ``np.put`` gives it: then this is NumPy's method of that name, with its indices.

    Raises
    ------
    IndexError, TypeError, ValueError
        `rows` are no rows of this array; `values` do not fit; the array is read-only.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", (3, 2), int)
    ...     A.put([0, 2], [[1, 2], [3, 4]])
    ...     A.tolist()
    [[1, 2], [0, 0], [3, 4]]
    """
    if mode is not None:
        np.ndarray.put(self, rows, values, mode)  # type: ignore[arg-type]
        return
    self[_key(rows)] = values
    self.fence(rows)


def _key(rows: RowKey) -> Any:
    return slice(None) if rows is None else rows


def _rank(array: Any, call: str) -> int:
    rank: int | None = array._table.namespace.rank()
    if rank is None:
        raise RuntimeError(f"{call} needs a worker: call it in the function that the workers run")
    return rank
