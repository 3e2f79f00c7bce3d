"""The barrier of a team: a counter, a generation, and a bell to sleep on.

Each worker writes into its slot which generation it has come to, and counts itself; the
last one steps the generation, and everybody else watches it, for a moment on the cpu and
then asleep.  The counter only ever grows, so there is no moment in which it is being reset.
A barrier that can never be complete, because a worker failed or has returned, breaks for
all instead of hanging.  All of that is one native call (`native/barrier.pxi`) for as long
as nothing happens; here is what to do when something does.

Where survivors go on after a death, the counter says nothing any more: it may or may not
have the dead in it.  Then the slots decide: everybody who lives has come.  The supervisor
writes down the death before it looks at the slots, a worker writes its slot before it looks
for deaths, so one of the two sees the other and completes the barrier.

Sleepers sleep on the bell, which is a futex (`native/barrier.h` has its theory), not on the
semaphores of their slots as those who wait for a lock do.  A lock wakes one of its waiters;
a barrier wakes all, and one system call does that however many they are.  Beside the
semaphores, on which each sleep and each post is made from Python with signals held back, it
was 2.3 times as fast for 8 workers on 2 cpus, 2.6 times for 4 and 6.6 times for 2.  What is
true is in words all the same: a wake-up that is lost, because the last one to come was
killed in the middle of it, comes again from the supervisor (`lose`, `fail`), and every
sleep ends by itself after a while.

Only who has slept for that while says so in its slot: a deadlock through a barrier takes
longer than that to be proven anyway, and most waits are over by then.

`tests/model/meeting.py` is the protocol, small enough to explore all of it.
"""

from __future__ import annotations

from typing import Final

from pydsm.core.layout import Slot, Team, slot_word
from pydsm.errors import BrokenBarrierError
from pydsm.ipc.cpus import available_cpus
from pydsm.native import REFUSED, THROUGH, Meeting, waits
from pydsm.sync.namespace import Namespace
from pydsm.sync.slots import BARRIER, LEFT

__all__ = ["Barrier"]

_SPINS: Final = 1000  # some ten microseconds, and only where every worker has a cpu
_FIRST_PARK: Final = 0.02
_LAST_PARK: Final = 0.1
_FAILED: Final = 1
_NEVER: Final = LEFT
_DEAD: Final = LEFT + 1


class Barrier:
    """The barrier of a namespace's workers, as one process sees it."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._words = namespace.words
        self._size = namespace.words.load(Team.SIZE)
        self._first_park = _FIRST_PARK
        self._meeting = Meeting(
            namespace.words,
            self._size,
            arrived=Team.ARRIVED,
            generation=Team.GENERATION,
            broken=Team.BROKEN,
            finished=Team.FINISHED,
            dead=Team.DEAD,
            bell=Team.BELL,
            spins=_SPINS if available_cpus() >= self._size else 0,
        )

    def reset(self) -> None:
        """Make the barrier whole again, while no worker runs."""
        for word in (Team.ARRIVED, Team.GENERATION, Team.BROKEN, Team.FINISHED, Team.DEAD):
            self._words.store(word, 0)

    def wait(self, rank: int) -> None:
        """Wait until every worker has come here.

        Raises
        ------
        BrokenBarrierError
            A worker failed or has returned, so not everybody can come.
        """
        try:
            generation = self._meeting.come(slot_word(rank, Slot.BARRIER), self._first_park)
            if generation != THROUGH:
                self._wait(generation)
        except BrokenBarrierError:
            raise
        except BaseException:  # interrupted: this worker may count as arrived, and will not be back
            self.fail()
            raise

    def _wait(self, generation: int) -> None:
        if generation == REFUSED:
            self._refuse_broken()
        if self._words.load(Team.DEAD) and not self._absent(generation):
            self._refuse_broken()  # somebody was counted who was interrupted
            self._meeting.complete(generation)
        else:
            self._sleep(generation)

    def lose(self, rank: int) -> None:
        """Go on without a worker that died: everybody else is enough from now on."""
        self._namespace.slots.set(rank, Slot.BARRIER, _DEAD)
        self._words.store(Team.DEAD, 1)
        generation = self._words.load(Team.GENERATION)
        if not self._absent(generation):
            self._meeting.complete(generation)
        self._meeting.alarm()  # it may have died before it could wake

    def check(self) -> None:
        """Raise BrokenBarrierError if a worker failed."""
        self._refuse_broken()

    def has_left(self, rank: int) -> bool:
        """Say whether a worker has returned or was seen to be dead."""
        return self._namespace.slots.has_left(rank)

    def is_dead(self, rank: int) -> bool:
        """Say whether a worker was seen to be dead, and the others go on."""
        return self._namespace.slots.get(rank, Slot.BARRIER) == _DEAD

    def is_waited_in(self, rank: int) -> bool:
        """Say whether a worker has come to the barrier that is not complete yet."""
        return self._namespace.slots.get(rank, Slot.BARRIER) == self._words.load(Team.GENERATION) + 1

    def _refuse_broken(self) -> None:
        if self._words.load(Team.BROKEN):
            raise self._trouble() or BrokenBarrierError("the barrier is broken")

    def fail(self) -> None:
        """Break the barrier for everybody, now and later in this run."""
        self._words.store(Team.BROKEN, _FAILED)
        self._meeting.alarm()

    def finish(self, rank: int) -> None:
        """Say that a worker will not come any more."""
        self._namespace.slots.set(rank, Slot.BARRIER, _NEVER)
        self._words.store(Team.FINISHED, 1)
        self._meeting.alarm()

    def _sleep(self, generation: int) -> None:
        """Wait for the end of a generation, and say so to who looks for deadlocks."""
        namespace, meeting = self._namespace, self._meeting
        slot = namespace.join() - 1  # this thread's own: the worker's main thread may be elsewhere
        pause = _FIRST_PARK
        outer = namespace.slots.begin_wait(slot, BARRIER, 0, nested=waits() > 0)
        try:
            while True:
                bell = meeting.announce()
                if self.is_through(generation):
                    return
                namespace.slots.block_on(slot, self._absent(generation))
                pause = min(2 * pause, _LAST_PARK)
                meeting.sleep(bell, pause)
        finally:
            namespace.slots.end_wait(slot, outer)

    def is_through(self, generation: int) -> bool:
        """Say whether a generation is complete; BrokenBarrierError if it never will be."""
        trouble = self._trouble()  # before the generation: whoever passed it may have returned since
        if self._words.load(Team.GENERATION) != generation:
            return True
        if trouble is not None:
            raise trouble
        return False

    def _trouble(self) -> BrokenBarrierError | None:
        """Return why not everybody can come, if so."""
        if self._words.load(Team.BROKEN):
            return BrokenBarrierError("the barrier is broken: a worker failed or was interrupted in it")
        if not self._words.load(Team.FINISHED):
            return None
        slots = self._namespace.slots
        gone = [str(rank) for rank in range(self._size) if slots.get(rank, Slot.BARRIER) == _NEVER]
        who = f"rank {', '.join(gone)}"
        return BrokenBarrierError(f"the barrier can never be complete: {who} returned without coming")

    def _absent(self, generation: int) -> int:
        """Return who is still to come, one bit for each rank; who returned will not."""
        came = (generation + 1, _DEAD)
        slots = self._namespace.slots
        return sum(1 << rank for rank in range(self._size) if slots.get(rank, Slot.BARRIER) not in came)
