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
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from pydsm.core import names
from pydsm.core.layout import (
    MAX_SLOTS,
    TEAM_MAGIC,
    TEAM_WORDS,
    VERSION,
    Description,
    LockHeader,
    Participant,
    Slot,
    Team,
)
from pydsm.errors import NameExistsError, SegmentError, UnknownNameError
from pydsm.ipc import catalog, segment, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.native import StripeLocks, Words, forget_identity, held
from pydsm.sync import burial
from pydsm.sync.lockwords import LockWords
from pydsm.sync.parking import Parking
from pydsm.sync.slots import SlotTable, sleepers_of
from pydsm.sync.undo import UndoLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Elsewhere", "Namespace", "default_name"]

_WORD: Final = np.dtype(np.uint64)
_BURIAL_SECONDS: Final = 0.001  # until the next look, while another process buries
_PATIENCE: Final = 1000
_HANDFUL: Final = 8
_PRIVATE: Final = 0o600
_spaces = itertools.count(1)
_open: weakref.WeakValueDictionary[str, Namespace] = weakref.WeakValueDictionary()
_all: weakref.WeakSet[Namespace] = weakref.WeakSet()  # also those whose name another one has now
_kept: set[Namespace] = set()  # until the process ends: its arrays may be attached again by name
_guard = threading.RLock()


def default_name() -> str:
    """Return the namespace of arrays made without a team."""
    return names.check_namespace(os.environ.get("PYDSM_NAMESPACE") or f"user{os.geteuid()}")


class Elsewhere(Protocol):
    """Who makes and removes arrays and locks on all nodes of a team."""

    size: int
    """How many workers the team has, on all nodes."""

    def make(self, description: Description, stripes: int) -> None:
        """Make one everywhere, so that it can be attached."""

    def drop(self, name: str) -> None:
        """Remove one everywhere."""

    def stripes_for(self, rows: int, nbytes: int) -> int:
        """Return how many stripes an array has unless told."""

    def check(self, description: Description) -> None:
        """Raise ValueError for what cannot be on several nodes."""


class Namespace:
    """A namespace as this process sees it; see `create`, `open` and `join_or_create`."""

    def __init__(self, name: str, file: LockFile, table: NDArray[Any], *, creator: bool) -> None:
        self.name = name
        self.known_as = name  # in handles, to all processes of the team
        self.elsewhere: Elsewhere | None = None  # who makes and removes names here, if they are on other nodes too
        self.words = Words(table)
        self.slots = SlotTable(self.words)
        self.sleepers = sleepers_of(table)
        self.space = next(_spaces)
        self._file = file
        self.permissions = file.permissions()
        self.is_shared = self.permissions["mode"] != _PRIVATE
        self._creator_pid = os.getpid() if creator else 0
        self._seat = threading.local()
        # One for each array in a process, so that re-entrance is counted in one place.
        self.lock_words: weakref.WeakValueDictionary[int, StripeLocks] = weakref.WeakValueDictionary()
        self._taken: set[int] = set()  # slots of this process's living threads
        self.parking = Parking(name, self.words, self.permissions, shared=self.is_shared)
        self._undo_logs: dict[int, UndoLog] = {}
        self._burying = False
        self.private_undo = False  # what rows were is nobody's but this process's
        self.array_class: type[Any] | None = None  # what arrays and locks are here, if not the plain ones
        self.lock_class: type[Any] | None = None
        self._closed = False
        self._why_closed = "its team was terminated"
        _open[name] = self
        _all.add(self)

    @classmethod
    def create(cls, name: str | None = None, *, size: int = 0, mode: int = _PRIVATE) -> Namespace:
        """Create a namespace, after taking back the names of dead ones.

        Parameters
        ----------
        name : str, optional
            A random one unless given.
        size : int
            Workers, to whom the slots 0 to ``size - 1`` belong.
        mode : int
            Permissions of all that is in it.

        Raises
        ------
        NameExistsError
            A living program has that namespace, or another user.
        """
        name = names.new_namespace() if name is None else names.check_namespace(name)
        catalog.reclaim()
        descriptor, table = segment.make((TEAM_WORDS,), _WORD, mode=mode)
        file = LockFile.born_locked(descriptor, names.team_name(name))
        table[[Team.MAGIC, Team.VERSION, Team.UID, Team.PID, Team.CAPACITY]] = (
            TEAM_MAGIC,
            VERSION,
            os.geteuid(),
            os.getpid(),
            MAX_SLOTS,
        )
        # Ids of another namespace of the same name, before or after, are others: handles tell them apart.
        first_id = int.from_bytes(os.urandom(3), "little") << 8
        table[[Team.NEXT_ID, Team.SIZE, Team.CREATED]] = first_id, size, time.time_ns()
        try:
            while not _link(descriptor, file.name):
                if not catalog.make_way(name):
                    raise NameExistsError(f"namespace {name!r} is in use by a living program, or by another user")
        except BaseException:
            file.close()
            raise
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
            if known is not None and known._closed:
                raise RuntimeError(f"namespace {name!r} cannot be used here: {known._why_closed}")
            if known is not None and known._file.has_name():
                return known  # else its program has ended, and another one may have the name now
            # Nobody else may give us what is to be our own.
            shared = names.check_namespace(name) != default_name()
            file = LockFile.open(names.team_name(name), shared=shared)
            if file is None:
                raise UnknownNameError(f"there is no namespace {name!r}: its program has ended or never ran")
            try:
                table = segment.attach(file.name, _WORD, shared=shared)
                if len(table) != TEAM_WORDS or table[Team.MAGIC] != TEAM_MAGIC or table[Team.VERSION] != VERSION:
                    raise SegmentError(f"lock file of namespace {name!r} is not one that this pydsm made")
            except BaseException:
                file.close()
                raise
            return cls(name, file, table, creator=False)

    @classmethod
    def opened(cls, name: str, *, kept: bool = False) -> Namespace | None:
        """Return a namespace that is open here (until the process ends, with `kept`), without looking at its names."""
        known = _open.get(name)
        return None if known is None or known._closed or (kept and known not in _kept) else known

    @classmethod
    def join_or_create(cls, name: str, *, fresh: bool) -> Namespace:
        """Join a namespace, or create it if nobody lives there.

        With `fresh`, what killed programs left in it is taken back first, unless this
        process or another one has it open; without, it is joined as it is.
        """
        with _guard:
            namespace: Namespace | None = None
            while namespace is None:
                if fresh and not _is_open(name):
                    catalog.make_way(name)
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

    def sit(self, rank: int, slot: int | None = None) -> None:
        """Take the slot of a worker for this thread: that of its rank, unless its team is on several nodes."""
        slot = rank if slot is None else slot
        for _ in range(_PATIENCE):  # a child that the worker of an earlier run forked may have its byte for a moment
            self.bury(slot)
            if self._take(slot):
                self._seat.taken = _Seat(self, slot, rank)
                return
            time.sleep(_BURIAL_SECONDS)
        raise RuntimeError(f"rank {rank} of namespace {self.name!r} runs in another process already")

    def stand_up(self, slot: int) -> None:
        """Say that the worker leaves in order: what ends now is no death."""
        self._seat.taken = None
        self._leave(slot)

    def alias(self, name: str) -> None:
        """Let another name mean this namespace in this process, in handles too."""
        self.known_as = name
        _open[name] = self

    def rank(self) -> int | None:
        """Return this thread's rank, or None if it is no worker."""
        seat: _Seat | None = getattr(self._seat, "taken", None)
        return None if seat is None else seat.rank

    def _free_slot(self) -> int:
        """Take a free slot; if there is none, that of somebody dead, after the burial."""
        slots = range(self.words.load(Team.SIZE), MAX_SLOTS)
        for slot in slots:
            if self._take(slot):
                return slot
        for _ in range(_PATIENCE):
            dead = [slot for slot in slots if not self.is_alive(slot)]
            for slot in dead[:_HANDFUL]:  # some for the newcomers after this one
                self.bury(slot)
            for slot in dead:
                if self._take(slot):
                    return slot
            if not dead:
                break
            time.sleep(_BURIAL_SECONDS)  # another newcomer buries
        raise RuntimeError(f"all {MAX_SLOTS} slots of namespace {self.name!r} are taken: fewer threads may lock")

    def _take(self, slot: int) -> bool:
        """Take a slot if it is free: its byte first, because whoever has that may change the slot."""
        with _guard:
            if slot in self._taken or self.slots.get(slot, Slot.STATE) or not self._file.hold_slot(slot):
                return False
            if self.slots.get(slot, Slot.STATE):
                self._file.leave_slot(slot)
                return False
            self._taken.add(slot)
            self.slots.set(slot, Slot.STATE, 1)
            return True

    def _leave(self, slot: int) -> None:
        """Give a slot back when its thread ends; one that still holds something is seen to be dead."""
        forget_identity()  # a thread of another language may call back once more, as a new one to Python
        with _guard:  # nobody else of this process may sit down before the byte is free too
            self._taken.discard(slot)
            log = self._undo_logs.pop(slot, None)
            if held() == 0:
                if log is not None:
                    log.remove()
                self.slots.vacate(slot)
            self._file.leave_slot(slot)

    # -- the dead ----------------------------------------------------------------

    def bury(self, slot: int) -> list[str]:
        """Put right what a participant left, if it is dead and nobody else is at it; return what it died in."""
        held: list[str] = []
        with _guard:
            if self._burying or not self.slots.get(slot, Slot.STATE) or self.is_alive(slot):
                return held  # a signal handler in the middle of it; or nothing to bury
            self._burying = True
            try:
                with self._file.burying() as alone, self._file.holding_slot(slot) as mine:
                    if alone and mine and self.slots.get(slot, Slot.STATE):
                        held = burial.bury(self.name, self.slots, slot, self._all_words(), self.parking.wake_surely)
            finally:
                self._burying = False
        return held

    def bury_all(self) -> None:
        """Put right what all that are dead left, as far as nobody else is at it for long."""
        for slot in self.slots.taken():
            self._bury_in_time(slot, unless_alive=True)

    def lose(self, slot: int, pid: int) -> list[str]:
        """Bury a worker whose process was seen to end, unless somebody else was faster; return what it died in."""
        return self._bury_in_time(slot) or burial.abandoned_by(Participant(slot, pid, slot), self._all_words())

    def _bury_in_time(self, slot: int, *, unless_alive: bool = False) -> list[str]:
        """Bury a participant, waiting a while for others who are at it; return what it died in."""
        for _ in range(_PATIENCE):
            held = self.bury(slot)
            if held or not self.slots.get(slot, Slot.STATE) or (unless_alive and self.is_alive(slot)):
                return held
            time.sleep(_BURIAL_SECONDS)
        return []

    def put_back(self, slot: int) -> None:
        """Undo what this process's participant in a slot never came to the end of."""
        if slot in self._undo_logs:
            burial.put_back(self.name, slot, self._all_words())

    def _all_words(self) -> list[LockWords]:
        mapped = [locks.policy for locks in list(self.lock_words.values())]
        return burial.find_words(self.name, self.known(), mapped)

    def undo_log(self, slot: int) -> UndoLog:
        """Return where a participant of this process keeps what rows were."""
        log = self._undo_logs.get(slot)
        if log is None:
            log = self._undo_logs[slot] = UndoLog(self.name, slot, self.permissions, private=self.private_undo)
        return log

    # -- names -------------------------------------------------------------------

    def new_id(self) -> int:
        """Return a number no other array or lock of the namespace has."""
        return self.words.add(Team.NEXT_ID, 1)

    def lock_words_of(self, header: LockHeader, open_locks: Callable[[], StripeLocks]) -> StripeLocks:
        """Return this process's one object for the lock words of an array or a lock."""
        with _guard:
            locks = self.lock_words.get(header.array_id)
            if locks is None:
                locks = self.lock_words[header.array_id] = open_locks()
            if locks.policy.description != header.description:
                name, other = header.description.name, locks.policy.name
                raise SegmentError(f"lock segment of {name!r} is damaged: it has the id of {other!r}")
            return locks

    def creating(self) -> contextlib.AbstractContextManager[bool]:
        """Be the only one who makes or removes names in here."""
        return self._file.creating()

    def known(self) -> list[str]:
        """Return the names of the arrays and locks in here."""
        parsed = (names.parse(file) for file in catalog.files_of(self.name))
        return sorted(entry[2] for entry in parsed if entry and entry[1] == "lock")

    def is_alive(self, slot: int) -> bool:
        """Say whether the thread in a slot can still run: its process holds the slot's byte."""
        return slot in self._taken or self._file.is_held_elsewhere(slot)

    @property
    def team_size(self) -> int:
        """How many workers the team has, on all nodes; 0 without a team."""
        return self.words.load(Team.SIZE) if self.elsewhere is None else self.elsewhere.size

    @property
    def why_closed(self) -> str:
        """Why nothing can be done in here any more."""
        return self._why_closed

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
        self.parking.close(self._why_closed)
        if self._is_last() and self._file.has_name():
            catalog.remove_names(catalog.files_of(self.name))
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
        self._seat = threading.local()
        self._taken, self._undo_logs = set(), {}
        self._burying = False
        self.parking.after_fork()
        if not self._closed:
            try:
                self._file.reopen()
            except OSError as error:  # no descriptor left: without proof of life no part in anything
                self._closed = True
                self._why_closed = f"this child process could not join it: {error.strerror}"
                self.parking.refuse(self._why_closed)


def _link(descriptor: int, name: str) -> bool:
    """Give a new file its name; False if that is taken."""
    with contextlib.suppress(FileExistsError):
        shm.link(descriptor, name)
        return True
    return False


def _is_open(name: str) -> bool:
    """Say whether this process takes part in what has that name now."""
    known = _open.get(name)
    return known is not None and (known._closed or known._file.has_name())


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
    for namespace in list(_all):
        namespace._after_fork()


def _close_all() -> None:
    for namespace in list(_open.values()):
        namespace.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_close_all)
