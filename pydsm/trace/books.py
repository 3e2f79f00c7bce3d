"""Timelines of a program with several teams, that go to one file or to `pydsm trace`."""

from __future__ import annotations

import atexit
import os

from pydsm.trace.timeline import Timeline

__all__ = ["book", "collect", "save_book"]

_books: dict[str, list[Timeline]] = {}
_unsaved: dict[str, int] = {}
_collection: list[Timeline] | None = None


def collect() -> list[Timeline]:
    """Return a list that gets the timelines of all teams that this process makes from now on."""
    global _collection
    _collection = []
    return _collection


def book(timeline: Timeline, path: str | None) -> None:
    """Note a timeline that has begun, and where it is to be saved."""
    if _collection is not None:
        _collection.append(timeline)
    if path is not None:
        _books.setdefault(path, []).append(timeline)
        _unsaved[path] = os.getpid()


def save_book(path: str) -> None:
    """Save all timelines that are to be saved in one file."""
    Timeline.joined(_books[path]).save(path)
    _unsaved.pop(path, None)


def _forget() -> None:
    """Leave the parent's timelines to the parent."""
    global _collection
    _books.clear()
    _unsaved.clear()
    _collection = None


@atexit.register
def _save_rest() -> None:
    """Save timelines of teams that were never terminated."""
    for path in tuple(_unsaved):
        save_book(path)


os.register_at_fork(after_in_child=_forget)
