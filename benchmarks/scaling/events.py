"""Events in the order of their time: processes that wait, and stations that serve one after the other."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["Gate", "Loop", "Process", "Station"]

Process = Generator["float | Gate", None, None]
"""What runs in simulated time: it yields the seconds that pass, or a gate to wait at."""


class Loop:
    """Simulated time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do something at a time; what has the same time is done in the order of asking."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, act, arguments))

    def start(self, process: Process) -> None:
        """Let a process begin now."""
        self.at(self.now, self._go_on, process)

    def _go_on(self, process: Process) -> None:
        wanted = next(process, None)
        if isinstance(wanted, Gate):
            wanted.wait(process)
        elif wanted is not None:
            self.at(self.now + wanted, self._go_on, process)

    def run(self) -> None:
        """Go on until nothing is left to be done."""
        while self._events:
            self.now, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)


class Gate:
    """Opens once, after so many knocks; who waits there goes on then."""

    __slots__ = ("_knocks", "_loop", "_waiting")

    def __init__(self, loop: Loop, knocks: int = 1) -> None:
        self._loop, self._knocks = loop, knocks
        self._waiting: list[Process] = []

    @property
    def is_open(self) -> bool:
        """Whether all knocks have come."""
        return self._knocks <= 0

    def knock(self) -> None:
        """Count one; open with the last."""
        self._knocks -= 1
        if self._knocks == 0:
            for process in self._waiting:
                self._loop.start(process)

    def wait(self, process: Process) -> None:
        """Let a process wait here; it goes on at once if the gate is open."""
        if self._knocks <= 0:
            self._loop.start(process)
        else:
            self._waiting.append(process)


class Station:
    """Serves in the order of arrival, one after the other; its queue has no end.

    Attributes
    ----------
    busy : float
        Seconds that it has served.
    waited : float
        Seconds that all who were served have waited before.
    served : int
    """

    __slots__ = ("_free", "_loop", "busy", "served", "waited")

    def __init__(self, loop: Loop) -> None:
        self._loop, self._free = loop, 0.0
        self.busy = self.waited = 0.0
        self.served = 0

    def serve(self, seconds: float, then: Callable[..., None], *arguments: Any) -> None:
        """Serve somebody who comes now for so long, and do something when it is done."""
        begin = max(self._loop.now, self._free)
        self.waited += begin - self._loop.now
        self.busy += seconds
        self.served += 1
        self._free = begin + seconds
        self._loop.at(self._free, then, *arguments)
