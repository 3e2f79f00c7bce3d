"""Mappings of a file's pages: shared, private, and in place of another one."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import TYPE_CHECKING, Final

import numpy as np

from pydsm.ipc import shm
from pydsm.native import map_pages

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PAGE", "map_private", "map_shared", "memory_at", "own_pages", "private_in_place", "shared_in_place"]

PAGE: Final = mmap.PAGESIZE
_BOTH: Final = mmap.PROT_READ | mmap.PROT_WRITE
_MAP: Final = "/proc/self/pagemap"
_THERE: Final = np.uint64(3 << 62)  # in memory, or swapped out
_OF_A_FILE: Final = np.uint64(1 << 61)


def map_shared(descriptor: int, nbytes: int) -> NDArray[np.uint8]:
    """Map a file's first bytes; what is written is everybody's."""
    return memory_at(_map(0, nbytes, _BOTH, mmap.MAP_SHARED, descriptor), nbytes)


def map_private(descriptor: int, nbytes: int) -> NDArray[np.uint8]:
    """Map a file's first bytes so that a page becomes this process's own when it is written."""
    return memory_at(_map(0, nbytes, _BOTH, mmap.MAP_PRIVATE, descriptor), nbytes)


def private_in_place(descriptor: int, address: int, nbytes: int) -> None:
    """Do so where the file is mapped already: what points there sees pages of its own from now on."""
    _map(address, nbytes, _BOTH, mmap.MAP_PRIVATE, descriptor)


def shared_in_place(descriptor: int, address: int, nbytes: int, *, writable: bool) -> None:
    """Map another file where one is mapped."""
    _map(address, nbytes, _BOTH if writable else mmap.PROT_READ, mmap.MAP_SHARED, descriptor)


def memory_at(address: int, nbytes: int) -> NDArray[np.uint8]:
    """Return bytes of this process's memory, which nothing keeps from being unmapped."""
    memory = memoryview((ctypes.c_char * nbytes).from_address(address))
    return np.frombuffer(memory, np.uint8)


def own_pages(address: int, nbytes: int) -> NDArray[np.bool_] | None:
    """Say which pages of a private mapping have become this process's own; None if the kernel does not tell."""
    first, last = address // PAGE, -(-(address + nbytes) // PAGE)
    try:
        descriptor = os.open(_MAP, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        entries = np.frombuffer(os.pread(descriptor, 8 * (last - first), 8 * first), np.uint64)
    finally:
        os.close(descriptor)
    if len(entries) != last - first:
        return None
    own: NDArray[np.bool_] = ((entries & _THERE) != 0) & ((entries & _OF_A_FILE) == 0)
    return own


def _map(address: int, nbytes: int, protection: int, flags: int, descriptor: int) -> int:
    try:
        return map_pages(address, nbytes, protection, flags, descriptor)
    except OSError as error:
        raise shm.explain(error, nbytes, shm.MAPPINGS) from None
