"""A namespace: the names, participants and semaphores that belong together.

A team has one of its own; arrays made without a team live in the user's default one.  A
process joins it by opening its lock file; each of its threads takes a slot, and with it a
semaphore to sleep on, when it first locks or waits.  The names go when the team that made
the namespace is terminated, or with the last process that has it open, or, if all were
killed, when the next program starts.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import MAX_SLOTS, TEAM_MAGIC, TEAM_WORDS, VERSION, Slot, Team, names_slot, slot_word
from pydsm.errors import NameExistsError, SegmentError, UnknownNameError
from pydsm.ipc import catalog, segment, semaphore, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.native import StripeLocks, Words, forget_identity, held
from pydsm.sync.slots import SlotTable, bits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Namespace", "default_name"]

_WORD: Final = np.dtype(np.uint64)
_spaces = itertools.count(1)
_open: weakref.WeakValueDictionary[str, Namespace] = weakref.WeakValueDictionary()
_kept: set[Namespace] = set()  # until the process ends: its arrays may be attached again by name
_guard = threading.RLock()


def default_name() -> str:
    """Return the namespace of arrays made without a team."""
    return names.check_namespace(os.environ.get("PYDSM_NAMESPACE") or f"user{os.geteuid()}")


class Namespace:
    """A namespace as this process sees it; see `create`, `open` and `join_or_create`."""

    def __init__(self, name: str, file: LockFile, table: NDArray[Any], *, creator: bool) -> None:
        self.name = name
        self.words = Words(table)
        self.slots = SlotTable(self.words)
        self.space = next(_spaces)
        self._file = file
        self._creator_pid = os.getpid() if creator else 0
        self._seat = threading.local()
        # One for each array in a process, so that re-entrance is counted in one place.
        self.lock_words: weakref.WeakValueDictionary[int, StripeLocks] = weakref.WeakValueDictionary()
        self._taken: set[int] = set()  # slots of this process's living threads
        self._semaphores: dict[int, semaphore.Semaphore] = {}
        self._parking: set[int] = set()
        self._closed = False
        _open[name] = self

    @classmethod
    def create(cls, name: str | None = None, *, size: int = 0) -> Namespace:
        """Create a namespace, after taking back the names of dead ones.

        Parameters
        ----------
        name : str, optional
            A random one unless given.
        size : int
            Workers, to whom the slots 0 to ``size - 1`` belong.

        Raises
        ------
        NameExistsError
            A living program has that namespace.
        """
        name = names.new_namespace() if name is None else names.check_namespace(name)
        catalog.reclaim()
        descriptor, table = segment.make((TEAM_WORDS,), _WORD)
        file = LockFile.born_locked(descriptor, names.team_name(name))
        table[[Team.MAGIC, Team.VERSION, Team.UID, Team.PID, Team.CAPACITY]] = (
            TEAM_MAGIC,
            VERSION,
            os.geteuid(),
            os.getpid(),
            MAX_SLOTS,
        )
        table[[Team.NEXT_ID, Team.SIZE, Team.CREATED]] = 1, size, time.time_ns()
        try:
            shm.link(descriptor, file.name)
        except FileExistsError:
            file.close()
            raise NameExistsError(f"namespace {name!r} is in use by a living program") from None
        return cls(name, file, table, creator=True)

    @classmethod
    def open(cls, name: str) -> Namespace:
        """Join an existing namespace.

        Raises
        ------
        UnknownNameError
            There is none.
        SegmentError
            What is there is not one.
        """
        with _guard:
            known = _open.get(name)
            if known is not None and known._file.has_name():
                return known  # else its program has ended, and another one may have the name now
            file = LockFile.open(names.team_name(names.check_namespace(name)))
            if file is None:
                raise UnknownNameError(f"there is no namespace {name!r}: its program has ended or never ran")
            try:
                table = segment.attach(file.name, _WORD)
                if len(table) != TEAM_WORDS or table[Team.MAGIC] != TEAM_MAGIC or table[Team.VERSION] != VERSION:
                    raise SegmentError(f"lock file of namespace {name!r} is not one that this pydsm made")
            except BaseException:
                file.close()
                raise
            return cls(name, file, table, creator=False)

    @classmethod
    def join_or_create(cls, name: str) -> Namespace:
        """Join a namespace, or create it if nobody lives there."""
        with _guard:
            namespace: Namespace | None = None
            while namespace is None:
                with contextlib.suppress(UnknownNameError):
                    namespace = cls.open(name)
                    break
                with contextlib.suppress(NameExistsError):
                    namespace = cls.create(name)
                    namespace._creator_pid = 0  # shared by all: it goes with the last
            _kept.add(namespace)
            return namespace

    # -- threads -----------------------------------------------------------------

    def join(self) -> int:
        """Return this thread's identity, its slot + 1; take a slot if it has none."""
        seat: _Seat | None = getattr(self._seat, "taken", None)
        if seat is None:
            seat = self._seat.taken = _Seat(self, self._free_slot(), None)
        return seat.slot + 1

    def sit(self, rank: int) -> None:
        """Take the slot of a worker for this thread."""
        if not self._file.hold_slot(rank):
            raise RuntimeError(f"rank {rank} of namespace {self.name!r} runs in another process already")
        self._taken.add(rank)
        self.slots.set(rank, Slot.STATE, 1)
        self._seat.taken = _Seat(self, rank, rank)

    def rank(self) -> int | None:
        """Return this thread's rank, or None if it is no worker."""
        seat: _Seat | None = getattr(self._seat, "taken", None)
        return None if seat is None else seat.rank

    def _free_slot(self) -> int:
        """Take a free slot, or that of a dead participant whom no lock word names any more."""
        first = self.words.load(Team.SIZE)
        with _guard:
            for slot in range(first, MAX_SLOTS):
                if self.slots.claim(slot):
                    if self._file.hold_slot(slot):
                        self._taken.add(slot)
                        return slot
                    self.slots.vacate(slot)
            for slot in range(first, MAX_SLOTS):
                if slot not in self._taken and self._file.hold_slot(slot):
                    if not self._is_named(slot):
                        self._taken.add(slot)
                        return slot
                    self._file.leave_slot(slot)
        raise RuntimeError(f"all {MAX_SLOTS} slots of namespace {self.name!r} are taken: fewer threads may lock")

    def _is_named(self, slot: int) -> bool:
        """Say whether a lock word of the namespace says that the slot holds or awaits something."""
        for name in self.known():
            with contextlib.suppress(FileNotFoundError, SegmentError):
                if names_slot(segment.attach(names.lock_name(self.name, name), _WORD), slot):
                    return True
        return False

    def _leave(self, slot: int) -> None:
        """Give a slot back when its thread ends; one that still holds something is seen to be dead."""
        forget_identity()  # a thread of another language may call back once more, as a new one to Python
        with _guard:  # nobody else of this process may sit down before the byte is free too
            self._taken.discard(slot)
            if held() == 0:
                self.slots.vacate(slot)
            self._file.leave_slot(slot)

    # -- sleeping and waking -----------------------------------------------------

    def park(self, slot: int, seconds: float) -> bool:
        """Sleep in one's own slot until woken; False if `seconds` went by."""
        self._parking.add(slot)  # before looking: `close` unmaps what nobody sleeps on
        try:
            return self._semaphore(slot).park(seconds)
        finally:
            self._parking.discard(slot)

    def wake(self, slot: int) -> None:
        """Wake the thread in a slot, unless that is under way already."""
        if self.words.exchange(slot_word(slot, Slot.PERMIT), 1) == 0:
            with contextlib.suppress(FileNotFoundError):  # nobody has slept there yet
                self._semaphore(slot, create=False).post()

    def wake_all(self, bits: int) -> None:
        """Wake the threads in all the slots whose bit is set."""
        for slot in bits_of(bits):
            self.wake(slot)

    def clear_permit(self, slot: int) -> None:
        """Say, before looking again, that the next wake-up is wanted."""
        self.words.store(slot_word(slot, Slot.PERMIT), 0)

    def _semaphore(self, slot: int, *, create: bool = True) -> semaphore.Semaphore:
        known = self._semaphores.get(slot)
        if known is None:
            if self.closed:
                raise RuntimeError(f"namespace {self.name!r} was closed: nobody can wait in it any more")
            known = self._semaphores[slot] = self._find_semaphore(slot, create=create)
        return known

    def _find_semaphore(self, slot: int, *, create: bool) -> semaphore.Semaphore:
        name = names.semaphore_name(self.name, slot)
        while create:
            with contextlib.suppress(FileExistsError):
                return semaphore.Semaphore.create(name)
            with contextlib.suppress(FileNotFoundError):
                return semaphore.Semaphore.open(name)
        return semaphore.Semaphore.open(name)

    # -- names -------------------------------------------------------------------

    def new_id(self) -> int:
        """Return a number no other array or lock of the namespace has."""
        return self.words.add(Team.NEXT_ID, 1)

    def creating(self) -> contextlib.AbstractContextManager[None]:
        """Be the only one who makes or removes names in here."""
        return self._file.creating()

    def known(self) -> list[str]:
        """Return the names of the arrays and locks in here."""
        parsed = (names.parse(file) for file in catalog.namespaces().get(self.name, []))
        return sorted(entry[2] for entry in parsed if entry and entry[1] == "lock")

    def is_alive(self, slot: int) -> bool:
        """Say whether the thread in a slot can still run: its process holds the slot's byte."""
        return slot in self._taken or self._file.is_held_elsewhere(slot)

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    def close(self) -> None:
        """Leave; remove the names if this process made the namespace or is the last in it."""
        if self._closed:
            return
        self._closed = True
        if _open.get(self.name) is self:
            del _open[self.name]
        _kept.discard(self)
        for slot, parked in list(self._semaphores.items()):
            if slot not in self._parking:  # a thread of ours asleep on it would wake up on nothing
                parked.close()
        self._semaphores.clear()
        if self._is_last() and self._file.has_name():
            catalog.remove_names(catalog.namespaces().get(self.name, []))
        self._file.close()

    def _is_last(self) -> bool:
        """Say whether the names are this process's to remove: it made the team, or nobody else is left."""
        if self._creator_pid:
            return self._creator_pid == os.getpid()
        self._file.leave_all()  # or two that leave at the same time would each see the other
        return self._file.prove_alone()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _after_fork(self) -> None:
        """Be a process of one's own: a child holds none of its parent's kernel locks."""
        if not self.closed:
            self._file.reopen()
        self._seat = threading.local()
        self._taken, self._parking = set(), set()


class _Seat:
    """A thread's hold on its slot; given back when the thread ends."""

    __slots__ = ("namespace", "pid", "rank", "slot")

    def __init__(self, namespace: Namespace, slot: int, rank: int | None) -> None:
        self.namespace = weakref.ref(namespace)
        self.slot, self.rank, self.pid = slot, rank, os.getpid()
        namespace.slots.introduce(slot, rank)

    def leave(self) -> None:
        namespace = self.namespace()
        if namespace is not None and not namespace.closed and self.pid == os.getpid() and self.rank is None:
            namespace._leave(self.slot)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.leave()


def _after_fork() -> None:
    global _guard
    _guard = threading.RLock()
    for namespace in list(_open.values()):
        namespace._after_fork()


def _close_all() -> None:
    for namespace in list(_open.values()):
        namespace.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_close_all)
