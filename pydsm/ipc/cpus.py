"""How many cpus this process may use."""

from __future__ import annotations

import os

__all__ = ["available_cpus"]


def available_cpus() -> int:
    """Return the number of cpus in this process's affinity mask."""
    return len(os.sched_getaffinity(0))
