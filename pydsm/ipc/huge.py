"""Huge pages for shared memory, on a machine that nobody has set up for them.

Nearly everywhere /dev/shm is mounted so that the kernel makes no huge pages of its own accord
(``huge=never``).  Yet it *collapses* small ones on request (MADV_COLLAPSE, Linux 6.1): an
extent of the file that has at least one page becomes one huge page, and the rest of the
extent is zeroed on the way.  So one byte is written to each extent of a new file, the file
is collapsed, and only then the room is reserved as for any other file: pages that are
reserved first would all have to be copied.

A process sees a huge page as one only if its mapping begins at a multiple of a huge page's
size.  Where SharedArray maps, the kernel decides: it takes the highest gap that is large
enough.  So address space is reserved, and exactly one aligned gap left in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import mmap
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["at_boundary", "fill", "page_size"]

_SIZE_FILE: Final = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
_COLLAPSE: Final = 25
_FIXED, _NO_RESERVE, _NO_ACCESS = 0x10, 0x4000, 0
_TRIES: Final = 3
_FAILED: Final = ctypes.c_void_p(-1).value


@functools.cache
def page_size() -> int:
    """Return the bytes of a huge page; 0 if there are none."""
    with contextlib.suppress(OSError, ValueError), open(_SIZE_FILE) as file:
        return int(file.read())
    return 0


def fill(descriptor: int, size: int) -> None:
    """Give a new and empty file of shared memory its size, with huge pages as far as whole ones fit.

    A RuntimeWarning says so if the kernel does not grant them.

    Raises
    ------
    OSError
        There is no room.
    """
    os.ftruncate(descriptor, size)
    extent = page_size()
    whole = size - size % extent if extent else 0
    for offset in range(0, whole, extent or 1):
        os.pwrite(descriptor, b"\0", offset)
    refusal = _collapse(descriptor, whole) if extent else errno.EOPNOTSUPP
    if refusal:
        warnings.warn(
            f"huge pages were not granted for {size} bytes, which have small ones: {os.strerror(refusal)}",
            RuntimeWarning,
            stacklevel=9,  # whoever called create() or Team.array()
        )


def at_boundary(length: int, attach: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Let `attach` map `length` bytes where huge pages can be seen as such, if that can be had."""
    misses: list[NDArray[Any]] = []
    extent = page_size()
    while True:
        with _gap(length, extent):
            array = attach()
        if array.__array_interface__["data"][0] % extent == 0 or len(misses) == _TRIES:
            return array
        misses.append(array)  # stays where the kernel would put the next one, too


def _collapse(descriptor: int, whole: int) -> int:
    """Collapse the first bytes of a file; return 0 or the error's number."""
    if not whole:
        return 0
    extent = page_size()
    start = _map(None, whole + extent, _NO_ACCESS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, -1)
    if start is None:
        return ctypes.get_errno()
    try:
        place = -(-start // extent) * extent
        if _map(place, whole, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _FIXED, descriptor) is None:
            return ctypes.get_errno()
        for _ in range(_TRIES):
            if _advise(place, whole, _COLLAPSE) == 0:
                return 0
            if ctypes.get_errno() != errno.EAGAIN:
                break
        return ctypes.get_errno()
    finally:
        _unmap(start, whole + extent)


@contextlib.contextmanager
def _gap(length: int, extent: int) -> Iterator[None]:
    """Let the highest gap for `length` bytes begin at a multiple of `extent`, if nothing comes in between."""
    length = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
    start = _map(None, length + extent, _NO_ACCESS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, -1)
    if start is None:  # a limit on address space
        yield
        return
    place = -(-start // extent) * extent
    end, last = place + length, start + length + extent
    if not _unmap(place, length):  # a limit on mappings: the gap makes two of one
        _unmap(start, last - start)
        yield
        return
    try:
        yield
    finally:
        _unmap(start, place - start)
        _unmap(end, last - end)


@functools.cache
def _library() -> tuple[Any, Any]:
    """Return the C library twice: calls of the first keep the GIL, so that no thread of Python's takes the gap."""
    holding, releasing = ctypes.PyDLL(None, use_errno=True), ctypes.CDLL(None, use_errno=True)
    holding.mmap.restype = ctypes.c_void_p
    holding.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
    ]
    holding.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    releasing.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return holding, releasing


def _map(place: int | None, length: int, protection: int, flags: int, descriptor: int) -> int | None:
    start: int | None = _library()[0].mmap(place, length, protection, flags, descriptor, 0)
    return None if start == _FAILED else start


def _unmap(start: int, length: int) -> bool:
    return length == 0 or _library()[0].munmap(start, length) == 0


def _advise(start: int, length: int, advice: int) -> int:
    result: int = _library()[1].madvise(start, length, advice)
    return result
