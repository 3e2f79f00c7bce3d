"""Where the rows of a view lie among the rows of its array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["address_of", "place_of"]


def address_of(array: NDArray[Any]) -> int:
    """Return where an array's first element is in memory."""
    address: int = array.__array_interface__["data"][0]
    return address


def place_of(view: NDArray[Any], root: NDArray[Any]) -> tuple[int, int, int]:
    """Return origin, step and span of a view's rows among its array's (see `native.Rows`)."""
    if view.shape == root.shape and view.strides == root.strides:
        return 0, 1, len(root)
    if view.size == 0:
        return 0, 0, 0
    row_bytes = root.strides[0] if root.shape[0] > 1 else max(1, root.nbytes)
    start = address_of(view) - address_of(root)
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
