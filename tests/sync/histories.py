"""Recorded histories of concurrent operations, held against what one worker alone would see.

A history is *linearizable* if each operation can be given an instant between its invocation
and its response so that, in the order of these instants, every result is what a sequential
object returns (Herlihy and Wing, *Linearizability: a correctness condition for concurrent
objects*, ACM TOPLAS 12, 1990).  Their theorem of locality says that a history of many rows is
right exactly if that of each row is, so each row is searched on its own.

`find_order` is the search of Wing and Gong, *Testing and verifying concurrent objects*, Journal
of Parallel and Distributed Computing 17, 1993, with the memory of Lowe, *Testing for
linearizability*, Concurrency and Computation: Practice and Experience 29, 2017: what was done
already, in whatever order, and the state that it led to, need not be tried twice.  For counters
nothing needs to be searched, because the results are the order: `counts_right`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pydsm

__all__ = [
    "CELLS",
    "Journal",
    "Operation",
    "Recorder",
    "counter",
    "counts_right",
    "describe",
    "find_order",
    "pair",
    "random_action",
    "register",
    "shortest_wrong_prefix",
    "use_pair",
    "use_row",
    "value_of",
]

Action = tuple[Any, ...]
Step = Callable[[Any, Action], tuple[Hashable, Any]]
"""What one action does to the state of a sequential object: the state after it, and the result."""


class Operation(NamedTuple):
    """One operation as its process saw it; times in ns on the clock that all processes share.

    Without a response (`responded` is None) it may have happened, at any time since, or not.
    """

    process: int
    invoked: int
    responded: int | None
    action: Action
    result: Any

    @property
    def latest(self) -> float:
        """When it has happened at the latest, if at all."""
        return math.inf if self.responded is None else self.responded


class Recorder:
    """The operations of one process, in memory."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.operations: list[Operation] = []

    def call(self, action: Action, function: Callable[..., Any], *args: Any) -> Any:
        """Do what `function` does and write down that this was `action`; nothing if it raises."""
        invoked = time.monotonic_ns()
        result = function(*args)
        responded = time.monotonic_ns()
        self.operations.append(Operation(self.process, invoked, responded, action, result))
        return result


class Journal:
    """A recorder whose operations outlive their process: each is a line of a shared array.

    A line is: when invoked (0: not at all), what, with what, the result, when responded (0: never).
    """

    COLUMNS = 5

    def __init__(self, lines: pydsm.GlobalArray) -> None:
        self._lines = iter(lines)

    def call(self, action: Action, function: Callable[..., Any], *args: Any) -> Any:
        """Do what `function` does and write it down, as far as it comes; not if it raises."""
        line = next(self._lines)
        line[1:3] = _VERBS.index(action[0]), action[1] if len(action) > 1 else 0
        line[0] = time.monotonic_ns()
        try:
            result = function(*args)
        except BaseException:
            line[0] = 0
            raise
        line[3] = result if isinstance(result, int) else _NO_NUMBER
        line[4] = time.monotonic_ns()
        return result

    @staticmethod
    def read(lines: pydsm.GlobalArray, process: int) -> list[Operation]:
        """Return what a process wrote down."""
        return [
            Operation(
                process,
                invoked,
                responded or None,
                (_VERBS[verb],) if _VERBS[verb] == "read" else (_VERBS[verb], argument),
                None if _VERBS[verb] == "write" or not responded else result,
            )
            for invoked, verb, argument, result, responded in lines.tolist()
            if invoked
        ]


_VERBS = ("read", "write", "add", "swap")
_NO_NUMBER = -1


# -- the search ------------------------------------------------------------------


def find_order(history: Iterable[Operation], step: Step, state: Hashable) -> list[Operation] | None:
    """Return an order in which the operations may have happened one by one; None if there is none.

    Parameters
    ----------
    history : iterable of Operation
    step : callable
        The sequential object.
    state : hashable
        What it begins with.

    Examples
    --------
    >>> written = Operation(0, 10, 40, ("write", 7), None)
    >>> early, late = Operation(1, 20, 30, ("read",), 0), Operation(1, 50, 60, ("read",), 0)
    >>> [operation.action[0] for operation in find_order([written, early], register, 0)]
    ['read', 'write']
    >>> find_order([written, late], register, 0) is None
    True
    """
    operations = sorted(history, key=lambda operation: operation.invoked)
    left = sum(operation.responded is not None for operation in operations)
    if left == 0:
        return []
    order: list[Operation] = []
    tried = {(0, 0, state)}
    # `first` operations are done, and of those behind them the ones that have a bit in `done`.
    stack = [(_next(operations, 0, 0), 0, 0, state)]
    while stack:
        choices, first, done, state = stack[-1]
        for choice in choices:
            operation = operations[choice]
            after, result = step(state, operation.action)
            if operation.responded is not None and result != operation.result:
                continue
            position = _skip(first, done | 1 << choice - first)
            if (*position, after) in tried:
                continue
            tried.add((*position, after))
            order.append(operation)
            left -= operation.responded is not None
            if left == 0:
                return order
            stack.append((_next(operations, *position), *position, after))
            break
        else:
            stack.pop()
            if order:
                left += order.pop().responded is not None
    return None


def _next(operations: Sequence[Operation], first: int, done: int) -> Iterator[int]:
    """Yield which operations may come next: those that began before any other one was over."""
    latest = math.inf
    for choice in range(first, len(operations)):
        if not done >> choice - first & 1:
            if operations[choice].invoked > latest:
                return
            yield choice
            latest = min(latest, operations[choice].latest)


def _skip(first: int, done: int) -> tuple[int, int]:
    ones = (~done & done + 1).bit_length() - 1
    return first + ones, done >> ones


def counts_right(history: Iterable[Operation], first: int = 0) -> bool:
    """Say whether complete fetch-and-increment operations are linearizable, in one pass.

    The results have to be `first`, ``first + 1``, ... without gap or repeat, and they are the
    order; it agrees with real time if no operation ended before one with a smaller result began.

    Examples
    --------
    >>> counts_right([Operation(0, 10, 20, ("next",), 0), Operation(1, 15, 30, ("next",), 1)])
    True
    >>> counts_right([Operation(0, 10, 20, ("next",), 1), Operation(1, 25, 30, ("next",), 0)])
    False
    """
    operations = list(history)
    if any(not isinstance(operation.result, int) for operation in operations):
        return False
    operations.sort(key=lambda operation: operation.result)
    begun = -math.inf
    for expected, operation in enumerate(operations, first):
        begun = max(begun, operation.invoked)
        if operation.result != expected or operation.latest < begun:
            return False
    return True


# -- what went wrong ---------------------------------------------------------------


def shortest_wrong_prefix(history: Iterable[Operation], step: Step, state: Hashable) -> list[Operation]:
    """Return what had been seen when the history first could not be explained any more.

    Every prefix of a linearizable history is linearizable, so that moment is found by halving.
    """
    operations = list(history)
    moments = sorted(operation.responded for operation in operations if operation.responded is not None)
    low, high = 0, len(moments) - 1
    while low < high:
        middle = (low + high) // 2
        if find_order(_until(operations, moments[middle]), step, state) is None:
            high = middle
        else:
            low = middle + 1
    return _until(operations, moments[low])


def _until(operations: Iterable[Operation], moment: int) -> list[Operation]:
    return [
        operation if operation.latest <= moment else operation._replace(responded=None, result=None)
        for operation in operations
        if operation.invoked <= moment
    ]


def describe(history: Iterable[Operation], step: Step, state: Hashable, last: int = 12) -> str:
    """Return the last operations before a history turned wrong, one a line, for a failed test."""
    prefix = sorted(shortest_wrong_prefix(history, step, state), key=lambda operation: operation.invoked)
    lines = [
        f"{operation.invoked} .. {operation.responded or '?'}  process {operation.process}: "
        f"{' '.join(map(str, operation.action))} -> {operation.result}"
        for operation in prefix[-last:]
    ]
    return "\n".join([f"no order explains the first {len(prefix)} operations; the last of them:", *lines])


# -- sequential objects ---------------------------------------------------------------


def register(value: int, action: Action) -> tuple[int, Any]:
    """One value: ``read``, ``write v``, ``add d`` (gives the sum) and ``swap v`` (gives what was there)."""
    match action:
        case ("read",):
            return value, value
        case ("write", new):
            return new, None
        case ("add", difference):
            return value + difference, value + difference
        case ("swap", new):
            return new, value
    raise ValueError(f"a register cannot {action!r}")


def counter(value: int, action: Action) -> tuple[int, Any]:
    """One number: ``next`` gives it and steps it."""
    return value + 1, value


def pair(values: tuple[int, int], action: Action) -> tuple[tuple[int, int], Any]:
    """Two values: ``move d`` takes d from the first to the second, ``look`` gives both."""
    if action[0] == "move":
        values = values[0] - action[1], values[1] + action[1]
    return values, values


# -- the same on shared rows -------------------------------------------------------------

CELLS = 3
"""Elements of a row that all hold its value, written one by one: half of a write can be seen."""


def random_action(dice: random.Random, new: int) -> Action:
    """Return something to do with a register; `new` is a value that nobody else writes."""
    name = dice.choice(["read", "read", "write", "add", "swap"])
    if name == "read":
        return ("read",)
    return name, dice.randrange(1, 4) if name == "add" else new


def use_row(
    A: pydsm.GlobalArray,
    row: int,
    action: Action,
    *,
    pause: Callable[[], object] | None = None,
    timeout: float | None = None,
    **careful: bool,
) -> Any:
    """Do on a row what `register` does, in a region of it.

    `pause` is called inside, before each element is written and behind the last one; `careful`
    is for the region if it is exclusive.
    """
    pause = pause or (lambda: None)
    if action[0] == "read":
        with A.locked(row, shared=True, timeout=timeout):
            seen = value_of(A[row])
            pause()
            again = value_of(A[row])
            return seen if again == seen else f"{seen}, then {again}"
    with A.locked(row, timeout=timeout, **careful):
        old = value_of(A[row])
        if isinstance(old, str) and action[0] != "write":
            return old
        new, result = register(old, action)
        for cell in range(CELLS):
            pause()
            A[row, cell] = new
        pause()
        return result


def use_pair(A: pydsm.GlobalArray, B: pydsm.GlobalArray, row: int, action: Action) -> tuple[int, int]:
    """Do on a row of two arrays what `pair` does; B was made before A, and is locked first."""
    if action[0] == "look":
        with B.locked(row, shared=True), A.locked(row, shared=True):
            return int(A[row, 0]), int(B[row, 0])
    with pydsm.locked((A, row), (B, row)) as (a, b):
        a -= action[1]
        b += action[1]
        return int(a[0]), int(b[0])


def value_of(cells: pydsm.GlobalArray) -> Any:
    """Return the value of a row; a text that no register gives if its elements differ."""
    values = cells.tolist()
    return values[0] if len(set(values)) == 1 else f"torn {values}"
