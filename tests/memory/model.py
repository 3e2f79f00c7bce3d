"""Lazy release consistency and entry consistency as sets: what every read must give.

There are no clocks here, no bytes and no log: an interval is an object, what happened before is
a set of intervals, and an array is a dict.  A program is a list of steps, done one after the
other; the model says what each read gives and what is at home in the end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

ROWS = 3
NAMES = ("A", "B")
Step = tuple[Any, ...]  # rank or None for all, what, and with what


@dataclass(eq=False)
class Interval:
    rank: int
    writes: dict[tuple[str, int], int]
    past: frozenset[Interval]
    stamp: int = 0

    def __post_init__(self) -> None:
        self.stamp = 1 + max((other.stamp for other in self.past), default=0)

    @property
    def order(self) -> tuple[int, int]:
        return self.stamp, self.rank


@dataclass(eq=False)
class Node:
    """One worker."""

    rank: int
    replica: dict[tuple[str, int], int]
    twin: dict[tuple[str, int], int]
    past: set[Interval] = field(default_factory=set)
    parts: list[tuple[Interval, tuple[str, int]]] = field(default_factory=list)  # in the past, not applied


class Model:
    def __init__(self, policy: str, size: int) -> None:
        self.entry = policy == "entry"
        self.home = {(name, row): 0 for name in NAMES for row in range(ROWS)}
        self.nodes = [Node(rank, dict(self.home), dict(self.home)) for rank in range(size)]
        self.published: list[Interval] = []
        self.left: dict[Any, set[Interval]] = {}  # what locks and elements pass on
        self.held: list[list[tuple[Any, ...]]] = [[] for _ in range(size)]

    # -- moving ------------------------------------------------------------------

    def publish(self, node: Node, scope: set[tuple[str, int]]) -> None:
        writes = {place: node.replica[place] for place in scope if node.replica[place] != node.twin[place]}
        if writes:
            interval = Interval(node.rank, writes, frozenset(node.past))
            self.published.append(interval)
            node.past.add(interval)
            node.twin.update(writes)

    def come_after(self, node: Node, others: set[Interval] | frozenset[Interval]) -> None:
        for interval in others - node.past:
            node.parts += [(interval, place) for place in interval.writes]
        node.past |= others

    def apply(self, node: Node, scope: set[tuple[str, int]]) -> None:
        now = [part for part in node.parts if part[1] in scope]
        node.parts = [part for part in node.parts if part[1] not in scope]
        for interval, place in sorted(now, key=lambda part: part[0].order):
            if node.replica[place] == node.twin[place]:
                node.replica[place] = interval.writes[place]
            node.twin[place] = interval.writes[place]

    def everything(self) -> set[tuple[str, int]]:
        return set(self.home)

    def scope(self, name: str, rows: range | None) -> set[tuple[str, int]]:
        if not self.entry or rows is None:
            return self.everything()
        return {(name, row) for row in rows}

    # -- steps -------------------------------------------------------------------

    def do(self, step: Step) -> Any:
        rank, what, *rest = step
        if rank is None:
            return self.barrier()
        return getattr(self, what)(self.nodes[rank], *rest)

    def read(self, node: Node, name: str, row: int) -> int:
        return node.replica[name, row]

    def write(self, node: Node, name: str, row: int, value: int) -> None:
        node.replica[name, row] = value

    def lock(self, node: Node, name: str, rows: range | None, shared: bool) -> None:
        self.held[node.rank].append((name, rows, shared))
        for key in [None] if rows is None else rows:
            self.come_after(node, self.left.get((name, key, "exclusive"), set()))
            if not shared:
                self.come_after(node, self.left.get((name, key, "shared"), set()))
            if rows is not None:
                self.come_after(node, self.left.get((name, key, "atomic"), set()))
        self.apply(node, self.scope(name, rows))

    def unlock(self, node: Node) -> None:
        name, rows, shared = self.held[node.rank].pop()
        self.publish(node, self.scope(name, rows))
        for key in [None] if rows is None else rows:
            self.left.setdefault((name, key, "shared" if shared else "exclusive"), set()).update(node.past)

    def fence(self, node: Node, name: str) -> None:
        scope = self.scope(name, range(ROWS))
        self.publish(node, scope)
        for interval in self.published:
            self.come_after(node, interval.past | {interval})
        self.apply(node, scope)

    def atomic(self, node: Node, op: str, name: str, row: int, value: int) -> int:
        self.come_after(node, self.left.get((name, row, "atomic"), set()))
        for interval in self.published:
            if (name, row) in interval.writes:
                self.come_after(node, interval.past | {interval})
        self.apply(node, self.everything())
        before = node.replica[name, row]
        if op == "fetch_add":
            node.replica[name, row] = before + value
        elif op in ("swap", "store_release"):
            node.replica[name, row] = value
        self.publish(node, self.everything())
        if op != "load_acquire":
            self.left.setdefault((name, row, "atomic"), set()).update(node.past)
        return None if op == "store_release" else before  # type: ignore[return-value]

    def barrier(self) -> None:
        for node in self.nodes:
            self.publish(node, self.everything())
        for interval in sorted(self.published, key=lambda interval: interval.order):
            self.home.update(interval.writes)
        for node in self.nodes:
            node.past.update(self.published)
            node.parts = []
            node.replica, node.twin = dict(self.home), dict(self.home)


def program(seed: int, size: int, length: int) -> list[Step]:
    """Return a random program in which nobody has to wait; values tell who wrote them."""
    rng = random.Random(seed)
    held: list[list[tuple[Any, ...]]] = [[] for _ in range(size)]
    steps: list[Step] = []

    def is_free(rank: int, name: str, rows: range | None, shared: bool) -> bool:
        return not any(
            other_name == name
            and (rows is None or set(rows) & set(other_rows))
            and not (shared and other_shared and other != rank)
            for other, regions in enumerate(held)
            for other_name, other_rows, other_shared in regions
        )

    while len(steps) < length:
        rank, name, row = rng.randrange(size), rng.choice(NAMES), rng.randrange(ROWS)
        value = 1000 * (len(steps) + 1) + rank
        what = rng.choices(
            ["read", "write", "lock", "named", "unlock", "fence", "atomic", "barrier"], [6, 8, 5, 1, 5, 1, 3, 0.5]
        )[0]
        if what == "read":
            steps.append((rank, "read", name, row))
        elif what == "write":
            steps.append((rank, "write", name, row, value))
        elif what in ("lock", "named") and len(held[rank]) < 2:
            rows = range(row, rng.randint(row, ROWS - 1) + 1) if what == "lock" else None
            region = (name if what == "lock" else "L", rows, what == "lock" and rng.random() < 0.3)
            if is_free(rank, *region):
                held[rank].append(region)
                steps.append((rank, "lock", *region))
        elif what == "unlock" and held[rank]:
            held[rank].pop()
            steps.append((rank, "unlock"))
        elif what == "fence":
            steps.append((rank, "fence", name))
        elif what == "atomic":
            op = rng.choice(["fetch_add", "swap", "store_release", "load_acquire"])
            steps.append((rank, "atomic", op, name, row, rng.choice([value, 0])))
        elif what == "barrier":
            steps.append((None, "barrier"))
    for rank in range(size):
        steps += [(rank, "unlock")] * len(held[rank])
    return steps
