"""Messages, round trips and bytes of each operation, and memory of a node, in closed form.

Letters: N nodes, w workers on each, W = N w of them; an array of S stripes, whose homes are spread evenly, so S / N at
each.  One request is one message, and so is its answer; what is only told (``push``, ``release``) has none.  A
*round trip* is the time that a request to one home, or requests to many at once, take until the last answer.

Everything is counted from the worker at node `me`.  Nothing here is fitted to counted runs but the sizes of messages
(`benchmarks.scaling.wire`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.scaling import wire
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.wire import Part

__all__ = [
    "Cost",
    "accumulate",
    "allreduce",
    "atomic",
    "barrier",
    "fence",
    "get",
    "memory",
    "named_lock",
    "put",
    "region",
    "run",
    "share",
]

_LINE: Final = 64
_LOTS: Final = 64
_SEGMENT: Final = 548  # what a segment in shared memory has before its elements
_LOCK_HEAD: Final = 256


@dataclass(slots=True)
class Cost:
    """What all ranks send for one operation.

    Attributes
    ----------
    messages, bytes : Counter of str
        By kind.
    rounds : int
        Round trips, one after the other.
    """

    messages: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    def send(self, kind: str, size: int, times: int = 1) -> None:
        """Count messages of a kind, all of one size."""
        if times:
            self.messages[kind] += times
            self.bytes[kind] += size * times

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.messages + other.messages, self.bytes + other.bytes, self.rounds + other.rounds)

    @property
    def all_messages(self) -> int:
        """Messages of all kinds."""
        return sum(self.messages.values())

    @property
    def all_bytes(self) -> int:
        """Bytes of all kinds."""
        return sum(self.bytes.values())


def region(
    job: Job,
    array: Array,
    stripes: Mapping[int, int],
    written: Mapping[int, Part] | None = None,
    new: Mapping[int, int] | None = None,
    me: int = -1,
) -> Cost:
    """Enter a region and leave it: ``acquire``, answer and ``release`` for each other home, one home after the other.

    The answer brings the stripes that have changed since they were here last; leaving brings the written elements home
    and waits for nobody.  Homes are asked in order, so that regions never wait in a circle: a round trip for each.

    Parameters
    ----------
    stripes : mapping of int to int
        How many of each home.
    written : mapping of int to Part, optional
    new : mapping of int to int, optional
        How many stripes of each home others have changed.
    me : int
        The node; the last one unless given.
    """
    cost = Cost()
    for home, count in stripes.items():
        if home != me % job.nodes and count:
            fresh = (new or {}).get(home, 0)
            part = (written or {}).get(home)
            cost.send("acquire", wire.acquire(count))
            cost.send("answer", wire.granted(fresh, fresh * array.stripe_bytes))
            cost.send("release", wire.release(count, [] if part is None else [part]))
            cost.rounds += 1
    return cost


def fence(
    job: Job,
    stripes: Mapping[int, int],
    written: Mapping[int, Part] | None = None,
    new: Mapping[int, tuple[int, int]] | None = None,
    me: int = -1,
) -> Cost:
    """Fence rows of one array, as `halo` does: a ``pull``, and a ``push`` where something was written.

    A push has all that was written, up to a quarter of a megabyte; here there is one to each home.  All homes are
    asked at once: one round trip.  Each request has 8 bytes for each stripe that is asked for.

    Parameters
    ----------
    stripes : mapping of int to int
        How many of each home are asked for.
    new : mapping of int to (int, int), optional
        How many of them others have changed, and their bytes.
    """
    cost = Cost()
    for home, part in (written or {}).items():
        if home != me % job.nodes:
            cost.send("push", wire.told([part]))
    others = {home: count for home, count in stripes.items() if home != me % job.nodes and count}
    for home, count in others.items():
        cost.send("pull", wire.asked("pull", [count]))
        cost.send("answer", wire.answer([(new or {}).get(home, (0, 0))]))
    cost.rounds += bool(others)
    return cost


def pull_all(job: Job, homes: Iterable[int]) -> Cost:
    """Bring in everything that is new at homes, of all arrays: 2 messages a home, 8 bytes a stripe.

    With all other homes that is 2 (N - 1) messages, and 8 S (N - 1) / N bytes, though nothing has changed.
    """
    cost, known = Cost(), job.all_known()
    for home in homes:
        cost.send("pull", wire.asked("pull", known[home]))
        cost.send("answer", wire.answer())
        cost.rounds = 1
    return cost


def _others(job: Job, *but: int) -> list[int]:
    return [home for home in range(job.nodes) if home not in but]


def atomic(job: Job, array: Array, home: int, me: int = -1, kind: str = "atomic") -> Cost:
    """Do an atomic operation, or `wait_until`: it orders all arrays, so everything new everywhere comes in, too.

    Elsewhere: one request to the home, which brings what is new there, and 2 (N - 2) messages to the other ones.
    At home: 2 (N - 1).  So on a hundred nodes a `fetch_add` takes two hundred messages, and if all workers do it each
    server has to do with *each* of them: all nodes together are as fast as one server.

    An operation that changes its element brings the stripe back, with the version that it has got by that.
    """
    me %= job.nodes
    if home == me:
        return pull_all(job, _others(job, me))
    cost = Cost(rounds=1)
    cost.send(kind, wire.asked(kind, job.known(home)))
    brings = wire.SEEN + wire.answer() if kind == "wait" else wire.answer([(1, array.stripe_bytes)])
    cost.send("answer", brings)
    return cost + pull_all(job, _others(job, me, home))


def get(row_bytes: int) -> Cost:
    """Copy a short row from its home: a request, and the answer with it."""
    cost = Cost(rounds=1)
    cost.send("fetch", wire.fetch())
    cost.send("answer", wire.granted(size=row_bytes))
    return cost


def put(row_bytes: int) -> Cost:
    """Copy a short row to its home, and hear that it is there."""
    cost = Cost(rounds=1)
    cost.send("store", wire.store(row_bytes))
    cost.send("answer", wire.granted())
    return cost


def accumulate(job: Job, array: Array, updates: Mapping[int, int], me: int = -1) -> Cost:
    """Add one value to elements: one message to each other home of some, and no answer; neighbours need no places."""
    cost = Cost()
    for home, count in updates.items():
        if home != me % job.nodes:
            cost.send("update", wire.update(count, array.item_bytes))
    return cost


def named_lock(job: Job, home: int, me: int = -1) -> Cost:
    """Take a named lock and give it back: it publishes everything, so everything new everywhere comes in."""
    cost = Cost()
    if home != me % job.nodes:
        cost.rounds = 1
        cost.send("acquire", wire.acquire(1))
        cost.send("answer", wire.granted())
        cost.send("release", wire.release(1))
    return cost + pull_all(job, _others(job, me % job.nodes))


def barrier(job: Job, pushes: Sequence[int] = (), part: Part | None = None, new: int = 0, new_bytes: int = 0) -> Cost:
    """Meet: each node's first worker asks every home, its own, too; each home answers when all have come.

    N ** 2 requests and as many answers.  Each node sends each home the versions of the home's stripes, so all
    together send 8 S (N - 1) bytes, changed or not.  What was written goes before: a push from each worker that finds
    changes in its part of the arrays to each home of them.

    Parameters
    ----------
    pushes : sequence of int
        How many changes each of them has, each a `part`.
    new, new_bytes : int
        How many arrays' blocks of one stripe all answers together bring, of so many bytes.
    """
    cost = Cost(rounds=1)
    for known in job.all_known():
        cost.send("meet", wire.asked("meet", known), job.nodes - 1)
        cost.send("meet", wire.asked("meet", []))
    cost.send("answer", wire.answer(), job.nodes**2)
    cost.bytes["answer"] += new * (wire.answer([(1, new_bytes)]) - wire.answer())
    for changes in pushes if part is not None else ():
        cost.send("push", wire.told([part] * changes))
    return cost


def allreduce(job: Job) -> Cost:
    """Combine one number of each worker: a barrier, and then every worker asks node 0 and gets what all gave.

    W requests and W answers of W values each: W ** 2 values, all from one server.
    """
    cost = barrier(job)
    cost.send("gather", wire.HEAD["gather"], job.workers)
    cost.send("answer", wire.answer() + wire.ROLL * job.workers, job.workers)
    cost.rounds += 1
    return cost


def share() -> Cost:
    """Get a piece of shared work: from node 0, whose server hands out all of them."""
    cost = Cost(rounds=1)
    cost.send("share", wire.HEAD["share"])
    cost.send("answer", wire.answer() + 4)
    return cost


def run(job: Job) -> Cost:
    """Start and end a run, without what the program itself is and gives: messages only, their bytes are the program's.

    Start: a ``run`` to each other server and a ``task`` to each worker; then each node's first worker pulls from each
    home (node 0 not from itself): N ** 2 - 1 pulls.  End: each worker says so to its server, which tells rank
    0, which tells *all* servers: W (N - 1) messages from rank 0 alone, besides N - 1 pulls of what was written.
    """
    nodes, workers = job.nodes, job.workers
    cost = Cost()
    pulls = nodes**2 - 1 + nodes - 1
    for kind, count in {
        "run": nodes - 1,
        "task": workers,
        "pull": pulls,
        "answer": pulls,
        "done": workers,
        "report": workers - job.counts[0] + nodes - 1,
        "left": workers * (nodes - 1),
    }.items():
        cost.send(kind, 0, count)
    return cost


def memory(job: Job) -> dict[str, int]:
    """Return the bytes of a node: they do not become fewer with more nodes.

    A replica of each array and its twin, whole on each node; for each stripe a version and the number of the last
    message about it; its lock, a cache line, and 64 more to sleep at; a line for each node, with what it was told.
    """
    return {
        "replicas": sum(_SEGMENT + array.nbytes for array in job.arrays),
        "twins": sum(_SEGMENT + array.nbytes for array in job.arrays),
        "versions": sum(_SEGMENT + 16 * array.all_stripes for array in job.arrays),
        "locks": sum(_SEGMENT + _LOCK_HEAD + _LINE * _lines(array.all_stripes) for array in job.arrays),
        "numbers": _SEGMENT + _LINE * job.nodes + 8,
    }


def _lines(stripes: int) -> int:
    return stripes + min(_LOTS, 1 << max(0, stripes - 1).bit_length())
