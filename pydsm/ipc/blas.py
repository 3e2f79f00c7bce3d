"""Fewer threads for each worker's BLAS and OpenMP: the only importer of threadpoolctl.

OpenBLAS shuts its pool down at a fork and starts it anew when it is next asked for
anything, its size included.  A pool that starts spins for tens of milliseconds, on a cpu
that another worker wants.  So where the pool is not running, the two variables that it
will take its size from are set instead; OpenBLAS exports them.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

__all__ = ["find_pools", "limit_threads"]

_pools: list[_Pool] = []
_modules_seen = 0


class _Pool:
    """A thread pool that is loaded."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._running: ctypes.c_int | None = None
        self._sizes: list[ctypes.c_int] = []
        with contextlib.suppress(OSError, ValueError):  # no such variables: another library
            library = ctypes.CDLL(controller.filepath)
            sizes = [ctypes.c_int.in_dll(library, name) for name in ("blas_cpu_number", "blas_num_threads")]
            self._running = ctypes.c_int.in_dll(library, "blas_server_avail")
            self._sizes = sizes

    def limit(self, threads: int) -> None:
        """Let it have at most so many threads."""
        if (self._controller.num_threads or 0) <= threads:
            return
        if self._running is not None and not self._running.value:
            for size in self._sizes:
                size.value = threads
        else:
            self._controller.set_num_threads(threads)


def find_pools() -> list[_Pool]:
    """Return the pools; look again only when modules were imported since.

    Called before a fork, so that no child has to.
    """
    global _pools, _modules_seen
    if _modules_seen != len(sys.modules):
        from threadpoolctl import ThreadpoolController  # slow to import, and only runs need it

        _pools = [_Pool(controller) for controller in ThreadpoolController().lib_controllers]
        _modules_seen = len(sys.modules)
    return _pools


def limit_threads(threads: int) -> None:
    """Let each pool of this process have at most so many threads."""
    for pool in find_pools():
        pool.limit(threads)
