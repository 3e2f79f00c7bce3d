"""The ring of shares as a model small enough to explore every interleaving.

Each step is one access to shared memory, in the order in which `pydsm/schedule.py` makes
them.  The ring has one entry, so that every share meets the one before it, and tags are
counted modulo 4, so that they wrap; at each share everybody waits for those who are two
behind.  Each worker does `shares` of `length` things each; one whose letter is ``b`` breaks
off after its first piece, one with ``d`` may die at any moment, and one with ``r`` returns
at once.

What must never be: a thing given twice; a share at whose end somebody is told that all is
handed out while something is left.

Mutants (`FLAWS`) leave out or swap single steps; the tests demand that each is caught.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["FLAWS", "Model"]

FLAWS = {
    "place first": "who opens a share installs its place before it knows that the old one is over",
    "no wait": "who opens a share does not look whether the old one is handed out",
    "wait for those inside": "a worker that has not come to the old share yet is not waited for",
    "blind length": "who opens a share stores the length instead of swapping it",
    "blind place": "who opens a share stores the place instead of swapping it",
    "blind take": "who takes stores the new place instead of swapping it",
    "no tag": "who takes does not look at the tag",
    "no wait for the far": "nobody waits for a worker that is so far behind that its tag seems to be the newer one",
    "unsigned tags": "tags are compared as numbers, without regard to their wrap",
    "wait for the dead": "a worker that is dead is waited for",
    "silent return": "a worker that has returned is waited for",
    "length unseen": "a length of another number is believed to be one's own",
}

TAGS = 4
FAR = 2

Word = tuple[int, int]  # tag, number
Thread = tuple[str, int, Any]  # pc, share, what it has seen


class Model:
    """Workers that do some shares, one after the other."""

    accidents = frozenset({"die"})

    def __init__(
        self,
        workers: str,
        shares: int,
        length: int = 2,
        chunk: int = 1,
        flaw: str | None = None,
        odd: int | None = None,
    ) -> None:
        assert flaw is None or flaw in FLAWS
        self.workers, self.shares, self.length, self.chunk, self.flaw = workers, shares, length, chunk, flaw
        self.odd = odd  # the rank that says another length in its first share
        threads = tuple(("begin", 0, None) for _ in workers)
        # threads, place, length, shares left behind, given things by share, first wrong thing
        self.first: tuple[Any, ...] = (threads, (0, 0), (0, 0), (0,) * len(workers), (0,) * shares, "")

    # -- for `explore` -----------------------------------------------------------

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
        for me, (pc, *_) in enumerate(state[0]):
            if pc in ("done", "dead", "failed"):
                continue
            after = getattr(self, pc)(state, me)
            if after is not None:
                yield me, pc, after
            if self.workers[me] == "d":
                yield me, "die", self.go(state, me, "dead")

    def wrong(self, state: tuple[Any, ...]) -> str | None:
        return state[5] or None

    def is_over(self, state: tuple[Any, ...]) -> bool:
        return all(pc in ("done", "dead", "failed") for pc, *_ in state[0])

    def left(self, state: tuple[Any, ...]) -> str | None:
        if self.odd is not None and not any(pc == "failed" for pc, *_ in state[0]) and "d" not in self.workers:
            return "nobody was told that the lengths differ"
        return None

    # -- helpers -----------------------------------------------------------------

    def go(self, state: tuple[Any, ...], me: int, pc: str, seen: Any = None, **changes: Any) -> tuple[Any, ...]:
        """Return the state in which a worker goes on at `pc`."""
        threads, place, length, left, given, wrong = state
        thread = (pc, changes.get("share", threads[me][1]), seen)
        threads = (*threads[:me], thread, *threads[me + 1 :])
        return (
            threads,
            changes.get("place", place),
            changes.get("length", length),
            changes.get("left", left),
            changes.get("given", given),
            changes.get("wrong", wrong),
        )

    def tag(self, share: int) -> int:
        return (share + 1) % TAGS

    def age(self, word: Word, tag: int) -> int:
        if self.flaw == "unsigned tags":
            return tag - word[0]
        return (tag - word[0] + TAGS // 2) % TAGS - TAGS // 2

    def my_length(self, me: int, share: int) -> int:
        return self.length - (self.odd == me and share == 0)

    def publish(self, left: tuple[int, ...], me: int, count: int) -> tuple[int, ...]:
        return (*left[:me], count, *left[me + 1 :])

    def late(self, state: tuple[Any, ...], me: int, share: int) -> bool:
        """Say whether somebody has to be waited for before a share's length may be replaced."""
        for other, ((pc, at, *_), left) in enumerate(zip(state[0], state[3], strict=True)):
            if other == me or left > share:
                continue
            gone = (pc == "dead" and self.flaw != "wait for the dead") or (
                pc in ("done", "failed") and self.flaw != "silent return"
            )
            outside = self.flaw == "wait for those inside" and (at < share or pc == "begin")
            if not gone and not outside:
                return True
        return False

    # -- one share ---------------------------------------------------------------

    def begin(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        share = state[0][me][1]
        if share == self.shares:
            return self.go(state, me, "done")
        left = self.publish(state[3], me, share)
        if self.workers[me] == "r":
            return self.go(state, me, "done")
        return self.go(state, me, "look_place" if self.flaw == "no wait for the far" else "look_back", left=left)

    def look_back(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...] | None:
        return None if self.late(state, me, state[0][me][1] - FAR) else self.go(state, me, "look_place")

    def look_place(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        return self.go(state, me, "look_length", state[1])

    def look_length(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        (_, share, place), length = state[0][me], state[2]
        tag = self.tag(share)
        if self.age(place, tag) < 0 or self.age(length, tag) < 0:
            return self.end(state, me)
        if self.age(length, tag) > 0:
            if self.flaw == "place first" and self.age(place, tag) > 0:
                return self.go(state, me, "swap_place", (place, length))
            over = length[1] == 0 or (place[0] == length[0] and place[1] >= length[1])
            waits = not over and self.flaw != "no wait"
            return self.go(state, me, "wait" if waits else "swap_length", (place, length))
        if length[1] != self.my_length(me, share) and self.flaw != "length unseen":
            return self.go(state, me, "failed")
        if self.age(place, tag) > 0:
            return self.go(state, me, "swap_place", (place, length))
        return self.go(state, me, "look")

    def wait(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...] | None:
        _, share, seen = state[0][me]
        return None if self.late(state, me, share - 1) else self.go(state, me, "swap_length", seen)

    def swap_length(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        _, share, (_, length) = state[0][me]
        wins = state[2] == length or self.flaw == "blind length"
        new = (self.tag(share), self.my_length(me, share))
        return self.go(state, me, "look_place", length=new if wins else state[2])

    def swap_place(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        _, share, (place, _) = state[0][me]
        wins = state[1] == place or self.flaw == "blind place"
        return self.go(state, me, "look_place", place=(self.tag(share), 0) if wins else state[1])

    def look(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        share, place = state[0][me][1], state[1]
        other = place[0] != self.tag(share) and self.flaw != "no tag"
        if other or place[1] >= self.my_length(me, share):
            return self.end(state, me)
        return self.go(state, me, "take", place)

    def take(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        _, share, place = state[0][me]
        if state[1] != place and self.flaw != "blind take":
            return self.go(state, me, "look")
        stop = min(place[1] + self.chunk, self.my_length(me, share))
        bits = (1 << stop) - (1 << place[1])
        given, wrong = state[4], state[5]
        if given[share] & bits:
            wrong = f"something of share {share} is given twice"
        given = (*given[:share], given[share] | bits, *given[share + 1 :])
        breaks = self.workers[me] == "b"
        pc = "leave" if breaks else "look"
        return self.go(state, me, pc, place=(place[0], stop), given=given, wrong=wrong)

    def end(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        """Be told that all is handed out, which has to be true."""
        share = state[0][me][1]
        missing = ((1 << self.length) - 1) & ~state[4][share]
        wrong = f"something of share {share} is left, and somebody is told otherwise" if missing else state[5]
        if self.odd is not None and share == 0:
            wrong = state[5]
        return self.go(state, me, "leave", wrong=wrong)

    def leave(self, state: tuple[Any, ...], me: int) -> tuple[Any, ...]:
        share = state[0][me][1]
        return self.go(state, me, "begin", share=share + 1, left=self.publish(state[3], me, share + 1))
