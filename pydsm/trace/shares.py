"""What a worker's time went into: every nanosecond of a run is of one kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydsm.trace.events import Event

__all__ = ["Shares", "shares_of"]

_KINDS = {"lock": "locks", "barrier": "barriers", "wait_until": "elements"}


class Shares(NamedTuple):
    """Nanoseconds of a worker's runs.

    Attributes
    ----------
    running : int
        Neither waiting nor holding anything.
    holding : int
        Inside regions or named locks, and not waiting.
    locks, barriers, elements : int
        From asking for a lock to having it, from coming to a barrier to leaving it, in `wait_until`.
    """

    running: int = 0
    holding: int = 0
    locks: int = 0
    barriers: int = 0
    elements: int = 0

    @property
    def total(self) -> int:
        """How long the worker ran."""
        return sum(self)

    def plus(self, other: Shares) -> Shares:
        """Return both together."""
        return Shares(*(mine + its for mine, its in zip(self, other, strict=True)))


def shares_of(events: Iterable[Event]) -> Shares:
    """Return what the time of one worker in one run went into.

    Parameters
    ----------
    events : iterable of Event
        Of the thread that ran the worker's function, in the order of their begins.
    """
    listed = list(events)
    run = next((event for event in listed if event.kind == "run"), None)
    if run is None:
        return Shares()
    waits = _waits(listed, run)
    waited = {"locks": 0, "barriers": 0, "elements": 0}
    for begin, end, kind in waits:
        waited[kind] += end - begin
    holds = _union([_clip(event.had, event.end, run) for event in listed if event.kind == "lock"])
    holding = sum(end - begin for begin, end in holds) - _common(holds, [wait[:2] for wait in waits])
    running = run.end - run.begin - holding - sum(waited.values())
    return Shares(running, holding, waited["locks"], waited["barriers"], waited["elements"])


def _waits(events: Sequence[Event], run: Event) -> list[tuple[int, int, str]]:
    """Return when it waited and for what; a thread waits for one thing at a time."""
    waits, over = [], run.begin
    for event in events:
        if event.kind in _KINDS:
            begin, end = _clip(event.begin, event.begin + event.waited, run)
            begin = max(begin, over)
            if end > begin:
                waits.append((begin, end, _KINDS[event.kind]))
                over = end
    return waits


def _clip(begin: int, end: int, run: Event) -> tuple[int, int]:
    return max(begin, run.begin), min(end, run.end)


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _common(ones: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Return how long two lists of spans, each in order and apart, have in common."""
    total = one = other = 0
    while one < len(ones) and other < len(others):
        begin = max(ones[one][0], others[other][0])
        end = min(ones[one][1], others[other][1])
        total += max(0, end - begin)
        if ones[one][1] < others[other][1]:
            one += 1
        else:
            other += 1
    return total
