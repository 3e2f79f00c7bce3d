"""Fewer threads for each worker's BLAS and OpenMP: the only importer of threadpoolctl."""

from __future__ import annotations

import sys

from threadpoolctl import ThreadpoolController

__all__ = ["limit_threads", "look_for_pools"]

_controller: ThreadpoolController | None = None
_modules_seen = 0


def look_for_pools() -> None:
    """Find the thread pools that are loaded; forked children then need not."""
    global _controller, _modules_seen
    if _controller is None or _modules_seen != len(sys.modules):
        _controller = ThreadpoolController()
        _modules_seen = len(sys.modules)


def limit_threads(threads: int) -> None:
    """Let each thread pool of this process have at most so many threads."""
    look_for_pools()
    assert _controller is not None
    for pool in _controller.lib_controllers:
        if (pool.num_threads or 0) > threads:
            pool.set_num_threads(threads)
