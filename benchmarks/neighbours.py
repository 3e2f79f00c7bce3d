"""How much of the machine others had while we measured: whether to believe a number."""

from __future__ import annotations

import os
import resource
import time

__all__ = ["Neighbours"]

_IDLE_FIELDS = (3, 4)  # of /proc/stat's first line: idle, iowait
_GUEST_FIELD = 8  # from here on, what was counted under user time already


class Neighbours:
    """Counts from its making how many cpus were busy with what is not ours."""

    def __init__(self) -> None:
        self._began, self._busy, self._ours = time.monotonic(), _busy_seconds(), _our_seconds()

    def cpus(self) -> float:
        """Return the cpus that others kept busy, on average; needs our children to have ended."""
        others = (_busy_seconds() - self._busy) - (_our_seconds() - self._ours)
        return max(0.0, others / max(1e-9, time.monotonic() - self._began))


def _busy_seconds() -> float:
    with open("/proc/stat", encoding="ascii") as lines:
        ticks = [int(field) for field in lines.readline().split()[1:]][:_GUEST_FIELD]
    return sum(count for field, count in enumerate(ticks) if field not in _IDLE_FIELDS) / os.sysconf("SC_CLK_TCK")


def _our_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
