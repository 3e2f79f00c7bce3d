"""The barrier as a model small enough to explore every interleaving.

Each step is one access to shared memory (a look at all workers' words counts as one for each
of them), in the order in which `native/barrier.pxi`, `native/barrier.h` and `sync/barrier.py`
make them.  Nobody watches before it sleeps, and sleeps have no time-out: what the real code
repairs by waking up after a while would be a stuck state in the model.

Workers, one letter each: ``w`` lives and comes to every barrier, ``m`` may die at any step,
``i`` may be interrupted in Python's part of the wait, ``e`` returns one barrier early.  After
the workers comes the supervisor, which loses the dead (``continue``) or fails the barrier
(``abort``).

Mutants (`FLAWS`) leave out or swap single steps; the tests demand that each is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["FLAWS", "Meeting"]

FLAWS = {
    "announce after look": "a sleeper sets the bell's bit after it has looked at the generation",
    "bell after look": "a sleeper reads the bell that it sleeps on after it has looked at the generation",
    "ring before step": "the last one rings before it steps the generation",
    "ring without change": "a ring wakes who sleeps, and leaves the bell as it is",
    "step without comparing": "whoever completes the barrier adds one to the generation",
    "death before coming": "a worker looks for deaths before it has said that it has come",
    "look before death": "the supervisor looks who has come before it has written down that there was a death",
    "no ring after death": "the supervisor rings only if it completes the barrier itself",
    "polite ring after death": "after a death, too, the supervisor rings only if the bell says that somebody sleeps",
    "silent failure": "whoever breaks the barrier does not ring",
    "silent return": "a worker that returns does not ring",
    "trouble after generation": "a sleeper looks for trouble after it has looked at the generation",
}

_DEAD: Final = -1
_NEVER: Final = -2
_ENDS: Final = frozenset({"returned", "refused", "interrupted", "dead", "over"})
_FIELDS: Final = ("pc", "generation", "bell", "look", "then", "through")
_PYTHON: Final = frozenset(
    {
        "asleep",
        "pass_",
        "see_death_again",
        "look",
        "announce_again",
        "look_for_trouble",
        "look_at_return",
        "look_at_generation_again",
        "sleep_again",
        "asleep_again",
    }
)
"""Where a signal's handler may come between: native code ends a sleep for it, and Python runs it."""
_WOKEN: Final = {"asleep": "find_out", "asleep_again": "announce_again"}


class Memory:
    """Shared memory and threads, as one step finds and changes them."""

    __slots__ = ("arrived", "bell", "broken", "came", "deaths", "finished", "generation", "threads")

    threads: tuple[tuple[Any, ...], ...]
    """For each one: its next step, the generation it waits for, the bell's value it knows, whom it
    still has to look at, where it goes on after a ring, and how many barriers it got through."""

    def __init__(self, state: tuple[Any, ...]) -> None:
        (
            self.threads,
            self.came,
            self.arrived,
            self.generation,
            self.bell,
            self.broken,
            self.finished,
            self.deaths,
        ) = state

    def freeze(self) -> tuple[Any, ...]:
        return (
            self.threads,
            self.came,
            self.arrived,
            self.generation,
            self.bell,
            self.broken,
            self.finished,
            self.deaths,
        )

    def go(self, me: int, pc: str, **changes: Any) -> None:
        """Say what a thread does next."""
        fields = dict(zip(_FIELDS, self.threads[me], strict=True))
        fields.update(changes, pc=pc)
        if pc in _ENDS or pc in ("refuse", "watch"):  # what it knew is of no use any more
            fields.update(generation=0, bell=0, look=0, then="")
        self.threads = (*self.threads[:me], tuple(fields.values()), *self.threads[me + 1 :])

    def come(self, me: int, value: int) -> None:
        self.came = (*self.came[:me], value, *self.came[me + 1 :])


Step = Callable[[Memory, int], bool | None]
"""Changes the memory; returns False if it cannot be made now."""


class Meeting:
    """Workers that come to the barrier a few times, and their supervisor."""

    accidents = frozenset({"die", "interrupt"})

    def __init__(self, workers: str, rounds: int, *, abort: bool = False, flaw: str | None = None) -> None:
        assert flaw is None or flaw in FLAWS
        self.workers, self.size, self.abort, self.flaw = workers, len(workers), abort, flaw
        self.rounds = [rounds - (kind == "e") for kind in workers]
        threads = (*((self.first_step(rank), 0, 0, 0, "", 0) for rank in range(self.size)), ("watch", 0, 0, 0, "", 0))
        self.first: tuple[Any, ...] = (threads, (0,) * self.size, 0, 0, 0, 0, 0, 0)
        self.steps: dict[tuple[str, str], tuple[Step, ...]] = {}

    def first_step(self, rank: int) -> str:
        return "refuse" if self.rounds[rank] else "say_never"

    # -- for `explore` -----------------------------------------------------------

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
        for me, thread in enumerate(state[0]):
            kind = "s" if me == self.size else self.workers[me]
            for step in self.steps.get((kind, thread[0])) or self.steps_of(kind, thread[0]):
                memory = Memory(state)
                if step(memory, me) is not False:
                    yield me, step.__name__, memory.freeze()

    def steps_of(self, kind: str, pc: str) -> tuple[Step, ...]:
        """Return what a thread may do at a `pc`: the method of that name, and what may happen instead."""
        steps = [getattr(self, pc)] if hasattr(self, pc) else []
        if kind == "m" and pc not in _ENDS:
            steps.append(self.die)
        if kind == "i" and pc in _PYTHON:
            steps.append(self.interrupt)
        return self.steps.setdefault((kind, pc), tuple(steps))

    def wrong(self, state: tuple[Any, ...]) -> str | None:
        threads, came, _, generation, *_ = state
        for rank, last in enumerate(came):
            if generation > (self.rounds[rank] if last == _NEVER else last) and last != _DEAD:
                return "a barrier is complete to which somebody has not come"
        if any(pc == "refused" for pc, *_ in threads) and self.is_harmless(threads):
            return "a barrier is broken that everybody comes to"
        return None

    def is_harmless(self, threads: tuple[tuple[Any, ...], ...]) -> bool:
        """Say whether nothing has happened that may break a barrier."""
        if "e" in self.workers or any(thread[0] == "interrupted" or thread[4] == "interrupted" for thread in threads):
            return False
        return not self.abort or all(thread[0] != "dead" for thread in threads)

    def is_over(self, state: tuple[Any, ...]) -> bool:
        return all(pc in _ENDS for pc, *_ in state[0])

    def left(self, state: tuple[Any, ...]) -> str | None:
        *workers, _ = state[0]
        for rank, (pc, *_, through) in enumerate(workers):
            if pc == "returned" and through < self.rounds[rank]:
                return "somebody has returned without coming through"
            if pc == "refused" and through < min(self.rounds) and self.is_harmless_but_for_return(state[0]):
                return "a barrier is broken that all came to before one returned"
        return None

    def is_harmless_but_for_return(self, threads: tuple[tuple[Any, ...], ...]) -> bool:
        return all(pc not in ("interrupted", "dead") for pc, *_ in threads)

    # -- accidents -----------------------------------------------------------------

    def die(self, memory: Memory, me: int) -> None:
        memory.go(me, "dead")

    def interrupt(self, memory: Memory, me: int) -> None:
        memory.go(me, "break_", then="interrupted")

    # -- native: to come -------------------------------------------------------------

    def refuse(self, memory: Memory, me: int) -> None:
        memory.go(me, "refused" if memory.broken else "read_generation")

    def read_generation(self, memory: Memory, me: int) -> None:
        memory.go(me, "early_death" if self.flaw == "death before coming" else "say_come", generation=memory.generation)

    def early_death(self, memory: Memory, me: int) -> None:
        memory.go(me, "say_come", look=memory.deaths)

    def say_come(self, memory: Memory, me: int) -> None:
        memory.come(me, memory.threads[me][1] + 1)
        memory.go(me, "count")

    def count(self, memory: Memory, me: int) -> None:
        memory.arrived += 1
        last = memory.arrived == self.size * (memory.threads[me][1] + 1)
        memory.go(me, "still_whole" if last else "see_death")

    def still_whole(self, memory: Memory, me: int) -> None:
        if memory.broken:
            return memory.go(me, "refused")
        self.complete(memory, me, "pass_")

    def see_death(self, memory: Memory, me: int) -> None:
        deaths = memory.threads[me][3] if self.flaw == "death before coming" else memory.deaths
        memory.go(me, "see_death_again" if deaths else "announce", look=0)

    # -- completing: step and ring -------------------------------------------------------

    def complete(self, memory: Memory, me: int, then: str) -> None:
        if self.flaw == "ring before step":
            return memory.go(me, "ring", then="late_step")
        memory.go(me, "step", then=then)

    def step(self, memory: Memory, me: int) -> None:
        if memory.generation == memory.threads[me][1] or self.flaw == "step without comparing":
            memory.generation += 1
        memory.go(me, "ring")

    def late_step(self, memory: Memory, me: int) -> None:
        self.step(memory, me)
        memory.go(me, "next_death_ring" if me == self.size else "pass_")

    def ring(self, memory: Memory, me: int) -> None:
        if memory.bell & 1:
            return memory.go(me, "change_bell", bell=memory.bell)
        memory.go(me, memory.threads[me][4])

    def change_bell(self, memory: Memory, me: int) -> None:
        if memory.bell != memory.threads[me][2]:
            return memory.go(me, "ring")
        if self.flaw != "ring without change":
            memory.bell += 1
        memory.go(me, "wake")

    def alarm(self, memory: Memory, me: int) -> None:
        """Ring whatever the bell says: who has cleared its bit may have died before it could wake."""
        memory.bell += 2
        memory.go(me, "wake")

    def wake(self, memory: Memory, me: int) -> None:
        for other, thread in enumerate(memory.threads):
            if thread[0] in _WOKEN:
                memory.go(other, _WOKEN[thread[0]])
        memory.go(me, memory.threads[me][4])

    def pass_(self, memory: Memory, me: int) -> None:
        through = memory.threads[me][5] + 1
        memory.go(me, "refuse" if through < self.rounds[me] else "say_never", through=through)

    # -- native: to sleep ----------------------------------------------------------------

    def announce(self, memory: Memory, me: int) -> None:
        if self.flaw == "announce after look":
            return memory.go(me, "look_at_generation")
        memory.bell |= 1
        memory.go(me, "look_at_generation", bell=memory.bell)

    def look_at_generation(self, memory: Memory, me: int) -> None:
        memory.go(me, "look_at_broken" if memory.generation == memory.threads[me][1] else "pass_")

    def look_at_broken(self, memory: Memory, me: int) -> None:
        memory.go(me, "find_out" if memory.broken else "look_at_finished")

    def look_at_finished(self, memory: Memory, me: int) -> None:
        memory.go(me, "find_out" if memory.finished else self.before_sleep())

    def before_sleep(self) -> str:
        late = {"announce after look": "late_announce", "bell after look": "late_announce"}
        return late.get(self.flaw or "", "sleep")

    def late_announce(self, memory: Memory, me: int) -> None:
        memory.bell |= 1
        memory.go(me, "sleep", bell=memory.bell)

    def sleep(self, memory: Memory, me: int) -> None:
        memory.go(me, "asleep" if memory.bell == memory.threads[me][2] else "find_out")

    def find_out(self, memory: Memory, me: int) -> None:
        memory.go(me, "pass_" if memory.generation != memory.threads[me][1] else "see_death_again")

    # -- Python: what native code could not settle ---------------------------------------------

    def see_death_again(self, memory: Memory, me: int) -> None:
        memory.go(me, "look" if memory.deaths else "announce_again", look=0)

    def look(self, memory: Memory, me: int) -> None:
        """Look whether one more has come; the last look decides."""
        generation, whom = memory.threads[me][1], memory.threads[me][3]
        if memory.came[whom] not in (generation + 1, _DEAD):
            return memory.go(me, self.after_look() if me == self.size else "announce_again")
        if whom + 1 < self.size:
            return memory.go(me, "look", look=whom + 1)
        if me == self.size:
            return self.complete(memory, me, self.after_look())
        memory.go(me, "still_whole")

    def after_look(self) -> str:
        return "say_death" if self.flaw == "look before death" else "next_death_ring"

    def announce_again(self, memory: Memory, me: int) -> None:
        memory.bell |= 1
        late = self.flaw == "trouble after generation"
        memory.go(me, "look_at_generation_again" if late else "look_for_trouble", bell=memory.bell)

    def look_for_trouble(self, memory: Memory, me: int) -> None:
        memory.go(me, "look_at_return", look=memory.broken)

    def look_at_return(self, memory: Memory, me: int) -> None:
        trouble = memory.threads[me][3] or memory.finished
        if self.flaw == "trouble after generation":
            return memory.go(me, "refused" if trouble else "sleep_again")
        memory.go(me, "look_at_generation_again", look=trouble)

    def look_at_generation_again(self, memory: Memory, me: int) -> None:
        _, generation, _, trouble, *_ = memory.threads[me]
        if memory.generation != generation:
            return memory.go(me, "pass_")
        if self.flaw == "trouble after generation":
            return memory.go(me, "look_for_trouble")
        memory.go(me, "refused" if trouble else "sleep_again")

    def sleep_again(self, memory: Memory, me: int) -> None:
        memory.go(me, "asleep_again" if memory.bell == memory.threads[me][2] else "announce_again")

    # -- the end of a worker ---------------------------------------------------------------

    def say_never(self, memory: Memory, me: int) -> None:
        memory.come(me, _NEVER)
        memory.go(me, "finish")

    def finish(self, memory: Memory, me: int) -> None:
        memory.finished = 1
        memory.go(me, "returned" if self.flaw == "silent return" else "alarm", then="returned")

    def break_(self, memory: Memory, me: int) -> None:
        memory.broken = 1
        then = memory.threads[me][4]
        memory.go(me, then if self.flaw == "silent failure" else "alarm")

    # -- the supervisor ------------------------------------------------------------------------

    def watch(self, memory: Memory, me: int) -> bool | None:
        """Wait until one more worker is dead, or all have ended."""
        for rank, (pc, *_) in enumerate(memory.threads[:me]):
            if pc == "dead" and memory.came[rank] != _DEAD and not (self.abort and memory.broken):
                return memory.go(me, "break_" if self.abort else "bury", look=rank, then="watch")
        if all(pc in _ENDS for pc, *_ in memory.threads[:me]):
            return memory.go(me, "over")
        return False

    def bury(self, memory: Memory, me: int) -> None:
        memory.come(memory.threads[me][3], _DEAD)
        memory.go(me, "read_generation_too" if self.flaw == "look before death" else "say_death")

    def say_death(self, memory: Memory, me: int) -> None:
        memory.deaths = 1
        memory.go(me, "next_death_ring" if self.flaw == "look before death" else "read_generation_too")

    def read_generation_too(self, memory: Memory, me: int) -> None:
        memory.go(me, "look", generation=memory.generation, look=0)

    def next_death_ring(self, memory: Memory, me: int) -> None:
        how = {"no ring after death": "watch", "polite ring after death": "ring"}
        memory.go(me, how.get(self.flaw or "", "alarm"), then="watch")
