"""Shared memory as arrays: the only importer of SharedArray.

SharedArray maps a file whose last bytes (the footer) say what array it holds::

    char magic[16] = "[SharedArray]"; size_t nbytes; int typenum, itemsize, ndims; npy_intp dims[MAXDIMS]

packed, so MAXDIMS (32 before NumPy 2, 64 since) decides how long it is.  SharedArray
believes the footer, and crashes the process or reads off the map where it lies, or where
NumPy refuses such an array; on a full disk it is killed while it writes it.  So pydsm makes
the file itself, with its space reserved, checks every field of a footer against the file
before mapping, and hands SharedArray the very descriptor that was checked.

What is left is a file that shrinks later: see `shm`.
"""

from __future__ import annotations

import errno
import functools
import math
import os
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import SharedArray

from pydsm.errors import SegmentError
from pydsm.ipc import huge, shm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["attach", "attach_file", "create", "create_file", "is_typed", "make"]

_MAGIC: Final = b"[SharedArray]".ljust(16, b"\0")
_HEAD: Final = "=16sQiii"
_MAX_DIMS: Final = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0b1" else 32
_FOOTER: Final = struct.calcsize(_HEAD) + 8 * _MAX_DIMS


def is_typed(dtype: np.dtype[Any]) -> bool:
    """Say whether SharedArray can describe the dtype exactly."""
    return dtype.isnative and dtype.kind in "biufcSU" and dtype.itemsize > 0


def make(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    content: bytes = b"",
    mode: int = 0o600,
    group: int = -1,
    *,
    huge_pages: bool = False,
    lazy: bool = False,
) -> tuple[int, NDArray[Any]]:
    """Make a segment without a name; return its descriptor and the zeroed array (then `content`).

    Raises
    ------
    NoRoomError, ValueError
    """
    size, footer = _layout(shape, dtype)
    descriptor = shm.new_file(size + _FOOTER, mode, group, huge.fill if huge_pages else None, reserve=not lazy)
    try:
        return descriptor, _fill(descriptor, content, size, footer, huge_pages=huge_pages)
    except BaseException:
        os.close(descriptor)
        raise


def create(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    content: bytes = b"",
    mode: int = 0o600,
    group: int = -1,
    *,
    huge_pages: bool = False,
    lazy: bool = False,
) -> NDArray[Any]:
    """Create a named segment; it appears only when it is complete.

    A `lazy` one takes memory as it is touched, for which there may be no room then.

    Raises
    ------
    FileExistsError, NoRoomError, ValueError
    """
    descriptor, array = make(shape, dtype, content, mode, group, huge_pages=huge_pages, lazy=lazy)
    try:
        shm.link(descriptor, name)
    finally:
        os.close(descriptor)
    return array


def attach(
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None = None,
    *,
    readonly: bool = False,
    shared: bool = False,
    huge_pages: bool = False,
) -> NDArray[Any]:
    """Map a named segment that must hold `dtype` and `shape` (None: one axis, as long as the file).

    With `huge_pages` it is mapped where they can be seen as such.

    Raises
    ------
    FileNotFoundError, SegmentError, NoRoomError
    """
    descriptor, found = shm.open_found(name, readonly=readonly, shared=shared)
    try:
        return _map(descriptor, found.st_size, dtype, shape, readonly=readonly, name=name, huge_pages=huge_pages)
    finally:
        os.close(descriptor)


def create_file(path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Map an ordinary file: a new one zeroed, an existing one with what it holds.

    A new one appears only when it is complete, where its file system can make files
    without a name.
    """
    if os.path.lexists(path):
        return attach_file(path, shape, dtype)
    size, footer = _layout(shape, dtype)
    folder = os.path.dirname(path)
    try:
        descriptor, is_named = _new_file(path, folder)
        try:
            os.posix_fallocate(descriptor, 0, size + _FOOTER)
            array = _fill(descriptor, b"", size, footer)
            if not is_named:
                os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
        except BaseException:
            if is_named:
                os.unlink(path)
            raise
        finally:
            os.close(descriptor)
    except FileExistsError:  # somebody was faster
        return attach_file(path, shape, dtype)
    except OSError as error:
        raise shm.explain(error, size, folder) from None
    return array


def _new_file(path: str, folder: str) -> tuple[int, bool]:
    """Return the descriptor of a new file, and whether it has its name yet."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600), False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True


def attach_file(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, readonly: bool = False) -> NDArray[Any]:
    """Map an ordinary file that must hold such an array."""
    descriptor = shm.open_path(path, readonly=readonly)
    try:
        return _map(descriptor, os.fstat(descriptor).st_size, dtype, shape, readonly=readonly, name=path)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, content: bytes, size: int, footer: bytes, *, huge_pages: bool = False) -> NDArray[Any]:
    if content:
        os.pwrite(descriptor, content, 0)
    os.pwrite(descriptor, footer, size)
    return _hand_over(descriptor, size, readonly=False, huge_pages=huge_pages)


@functools.lru_cache(maxsize=256)
def _layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, bytes]:
    """Return an array's size in bytes and its footer; ValueError if it is not for SharedArray."""
    if not is_typed(dtype) or len(shape) > _MAX_DIMS or min(shape, default=0) < 0:
        raise ValueError(f"no segment can hold an array of shape {shape} and dtype {dtype}")
    if math.prod(extent or 1 for extent in shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} is too big, even if it is empty")
    size = math.prod(shape) * dtype.itemsize
    head = struct.pack(_HEAD, _MAGIC, size, dtype.num, dtype.itemsize, len(shape))
    return size, head + struct.pack(f"={_MAX_DIMS}q", *shape, *[0] * (_MAX_DIMS - len(shape)))


def _map(
    descriptor: int,
    length: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None,
    *,
    readonly: bool,
    name: str,
    huge_pages: bool = False,
) -> NDArray[Any]:
    if length < _FOOTER:
        raise SegmentError(f"{name!r} is no segment: it has less than {_FOOTER} bytes, or is no file at all")
    if shape is None:
        shape = ((length - _FOOTER) // dtype.itemsize,)
    try:
        size, footer = _layout(shape, dtype)
    except ValueError as error:
        raise SegmentError(f"segment {name!r}: {error}") from None
    if size + _FOOTER != length:
        raise SegmentError(f"segment {name!r} has {length} bytes where {size + _FOOTER} belong")
    if os.pread(descriptor, _FOOTER, size) != footer:
        raise SegmentError(f"segment {name!r} does not hold an array of shape {shape} and dtype {dtype}")
    return _hand_over(descriptor, size, readonly=readonly, huge_pages=huge_pages)


def _hand_over(descriptor: int, size: int, *, readonly: bool, huge_pages: bool) -> NDArray[Any]:
    attach = functools.partial(SharedArray.attach, f"file:///proc/self/fd/{descriptor}", ro=readonly)
    try:
        wanted = huge_pages and 0 < huge.page_size() <= size
        array: NDArray[Any] = huge.at_boundary(size + _FOOTER, attach) if wanted else attach()
    except OSError as error:
        explained = shm.explain(error, size, shm.MAPPINGS)
        if explained is not error:
            raise explained from None
        raise SegmentError(f"SharedArray could not map the segment: {error}") from None
    return array
