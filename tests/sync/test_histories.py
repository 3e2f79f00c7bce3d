from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import signal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydsm
from tests.sync.histories import (
    CELLS,
    Journal,
    Operation,
    Recorder,
    counter,
    counts_right,
    describe,
    find_order,
    pair,
    random_action,
    register,
    shortest_wrong_prefix,
    use_pair,
    use_row,
    value_of,
)

LONG = os.environ.get("PYDSM_TORTURE") == "1"
thoroughly = settings(max_examples=10_000 if LONG else 80)
only_long = pytest.mark.skipif(not LONG, reason="PYDSM_TORTURE=1 runs the long form")


def operation(invoked: int, responded: int | None, *action: Any, result: Any = None) -> Operation:
    return Operation(0, invoked, responded, action, result)


# -- the checker itself ----------------------------------------------------------------

RIGHT = {
    "nothing": [],
    "one after the other": [
        operation(0, 1, "write", 5),
        operation(2, 3, "read", result=5),
        operation(4, 5, "add", 2, result=7),
        operation(6, 7, "swap", 1, result=7),
        operation(8, 9, "read", result=1),
    ],
    "a read beside a write may see either": [
        operation(0, 10, "write", 5),
        operation(2, 3, "read", result=0),
        operation(4, 5, "read", result=5),
    ],
    "overlapping writes happen in either order": [
        operation(0, 10, "write", 5),
        operation(1, 11, "write", 6),
        operation(12, 13, "read", result=5),
    ],
    "what begins at the moment of a response is beside it": [
        operation(0, 5, "write", 5),
        operation(5, 6, "read", result=0),
    ],
    "one that never responded has happened": [
        operation(0, None, "write", 5),
        operation(1, 2, "read", result=0),
        operation(3, 4, "read", result=5),
    ],
    "one that never responded has not happened": [
        operation(0, None, "write", 5),
        operation(8, 9, "read", result=0),
    ],
}

WRONG = {
    "stale read": [
        operation(0, 1, "write", 5),
        operation(2, 3, "read", result=0),
    ],
    "lost update": [
        operation(0, 10, "add", 1, result=1),
        operation(1, 11, "add", 1, result=1),
    ],
    "update lost to a later read": [
        operation(0, 10, "add", 1, result=1),
        operation(1, 11, "add", 1, result=2),
        operation(12, 13, "read", result=1),
    ],
    "result invented": [
        operation(0, 10, "write", 5),
        operation(1, 11, "write", 6),
        operation(2, 12, "read", result=7),
    ],
    "reordered beyond real time": [
        operation(0, 1, "write", 5),
        operation(2, 3, "write", 6),
        operation(4, 5, "read", result=5),
    ],
    "two readers beside two writes disagree on their order": [
        operation(0, 20, "write", 5),
        operation(0, 20, "write", 6),
        operation(1, 2, "read", result=5),
        operation(3, 4, "read", result=6),
        operation(5, 6, "read", result=5),
    ],
    "new, then old again, beside one write": [
        operation(0, 20, "write", 5),
        operation(1, 2, "read", result=5),
        operation(3, 4, "read", result=0),
    ],
    "a value taken out twice": [
        operation(0, 1, "write", 5),
        operation(2, 10, "swap", 6, result=5),
        operation(3, 11, "swap", 7, result=5),
    ],
    "torn": [operation(0, 10, "write", 5), operation(1, 2, "read", result="torn [5, 0, 0]")],
    "one that never responded was undone": [
        operation(0, None, "write", 5),
        operation(1, 2, "read", result=5),
        operation(3, 4, "read", result=0),
    ],
    "read before it was written": [
        operation(1, 2, "read", result=5),
        operation(3, None, "write", 5),
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_a_right_history_is_accepted_in_whatever_order_it_is_given(history: list[Operation]) -> None:
    for given_order in itertools.permutations(history):
        assert find_order(given_order, register, 0) is not None


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_a_wrong_history_is_rejected(history: list[Operation]) -> None:
    for given_order in itertools.permutations(history):
        assert find_order(given_order, register, 0) is None


def is_witness(order: list[Operation], history: list[Operation]) -> bool:
    """Say whether an order holds every complete operation once, keeps real time, and explains all results."""
    complete = [one for one in history if one.responded is not None]
    value: Any = 0
    for one in order:
        value, result = register(value, one.action)
        if one.responded is not None and result != one.result:
            return False
    return (
        sorted(one for one in order if one.responded is not None) == sorted(complete)
        and all(one in history for one in order)
        and all(not later.latest < earlier.invoked for earlier, later in itertools.combinations(order, 2))
    )


def can_be_explained(history: list[Operation]) -> bool:
    """Try every order of every choice of operations: the definition itself."""
    pending = [one for one in history if one.responded is None]
    complete = [one for one in history if one.responded is not None]
    return any(
        is_witness(list(order), history)
        for count in range(len(pending) + 1)
        for chosen in itertools.combinations(pending, count)
        for order in itertools.permutations([*complete, *chosen])
    )


actions = st.one_of(
    st.just(("read",)),
    st.tuples(st.sampled_from(["write", "swap"]), st.integers(1, 3)),
    st.tuples(st.just("add"), st.just(1)),
)


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    action = draw(actions)
    invoked = draw(st.integers(0, 12))
    responded = draw(st.one_of(st.integers(invoked, 14), st.none()))
    result = None if action[0] == "write" or responded is None else draw(st.integers(0, 4))
    return Operation(0, invoked, responded, action, result)


@settings(max_examples=10_000 if LONG else 200)
@given(st.lists(any_operation(), max_size=5))
def test_the_search_finds_an_order_exactly_if_trying_every_order_does(history: list[Operation]) -> None:
    order = find_order(history, register, 0)
    assert (order is not None) == can_be_explained(history)
    assert order is None or is_witness(order, history)


@st.composite
def overlapping(draw: st.DrawFn) -> list[Operation]:
    """Return a sequential execution whose operations were stretched until they overlap."""
    steps = draw(
        st.lists(st.tuples(actions, st.integers(0, 2), st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=14)
    )
    history: list[Operation] = []
    free = [0, 0, 0]
    value = 0
    for number, (action, process, before, after) in enumerate(steps):
        moment = 10 * number + 10
        later = [10 * other + 10 for other in range(number + 1, len(steps)) if steps[other][1] == process]
        value, result = register(value, action)
        invoked = max(moment - before, free[process])
        responded = min([moment + after, *(other - 1 for other in later)])
        free[process] = responded + 1
        history.append(Operation(process, invoked, responded, action, result))
    return history


@thoroughly
@given(overlapping(), st.randoms(use_true_random=False), st.integers(0, 200))
def test_what_really_happened_is_always_accepted(history: list[Operation], dice: random.Random, cut: int) -> None:
    dice.shuffle(history)
    assert find_order(history, register, 0) is not None
    unfinished = [
        one if one.latest <= cut else one._replace(responded=None, result=None) for one in history if one.invoked <= cut
    ]
    assert find_order(unfinished, register, 0) is not None


def invent(history: list[Operation], end: int) -> None:
    place = next((place for place, one in enumerate(history) if one.action[0] != "write"), None)
    wrong = operation(end, end + 1, "read") if place is None else history.pop(place)
    history.append(wrong._replace(result=1000))


def read_stale(history: list[Operation], end: int) -> None:
    history += [operation(end, end + 1, "write", 77), operation(end + 2, end + 3, "read", result=3)]


def read_the_future(history: list[Operation], end: int) -> None:
    history += [operation(-2, -1, "read", result=77), operation(end, end + 1, "write", 77)]


def lose_an_update(history: list[Operation], end: int) -> None:
    history += [operation(end, end + 9, "write", 0), *(operation(end + 10, end + 12, "add", 9, result=9),) * 2]


def take_back(history: list[Operation], end: int) -> None:
    history += [operation(end, None, "swap", 77), operation(end + 1, end + 2, "read", result=77)]
    history += [operation(end + 3, end + 4, "read", result=3)]


@pytest.mark.parametrize("spoil", [invent, read_stale, read_the_future, lose_an_update, take_back])
@thoroughly
@given(history=overlapping())
def test_what_cannot_have_happened_is_always_rejected(spoil: Any, history: list[Operation]) -> None:
    spoil(history, max(int(one.latest) for one in history) + 1)
    assert find_order(history, register, 0) is None


def sequential(dice: random.Random, length: int, stretch: int) -> list[Operation]:
    """Return a long execution by one process, its operations stretched until some overlap."""
    history, value = [], 0
    for number in range(length):
        action = random_action(dice, 1000 + number)
        value, result = register(value, action)
        moment = 10 * number
        history.append(
            Operation(number, moment - dice.randrange(stretch), moment + dice.randrange(stretch), action, result)
        )
    return history


def test_most_wrong_results_are_noticed() -> None:
    dice, noticed = random.Random(1), 0
    for _ in range(200):
        history = sequential(dice, 20, stretch=25)
        place = dice.choice([place for place, one in enumerate(history) if one.result is not None])
        others = [one.result for one in history if one.result not in (None, history[place].result)]
        history[place] = history[place]._replace(result=dice.choice(others))
        noticed += find_order(history, register, 0) is None
    assert noticed > 150


def test_long_histories_are_searched_without_recursion_or_explosion() -> None:
    history = sequential(random.Random(2), 5000, stretch=60)
    assert find_order(history, register, 0) is not None
    stuck = operation(-100, None, "write", 5)
    assert find_order([stuck, *history], register, 0) is not None


def test_the_memory_keeps_a_wrong_history_from_taking_for_ever() -> None:
    """Twelve operations that commute, side by side: 12! orders, but 2 ** 12 sets of them."""
    beside = [operation(0, None, "add", 1 << place) for place in range(12)]
    late = operation(200, 201, "read", result=-1)
    assert find_order([*beside, late], register, 0) is None


def test_what_went_wrong_first_is_shown() -> None:
    history = sequential(random.Random(3), 60, stretch=5)
    end = int(history[29].latest)
    stale = Operation(7, end + 1, end + 2, ("read",), -1)
    prefix = shortest_wrong_prefix([*history, stale], register, 0)
    assert max(one.latest for one in prefix if one.responded is not None) == stale.responded
    assert "process 7: read -> -1" in describe([*history, stale], register, 0)


# -- counters --------------------------------------------------------------------------


@st.composite
def counting(draw: st.DrawFn) -> list[Operation]:
    intervals = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=6))
    results = draw(st.permutations(range(len(intervals))))
    if draw(st.booleans()) and results:
        results = [*results[1:], draw(st.integers(0, len(results)))]
    elif draw(st.booleans()):
        intervals.sort()
        results = sorted(results)
    return [
        operation(start, start + length, "next", result=result)
        for (start, length), result in zip(intervals, results, strict=True)
    ]


@settings(max_examples=10_000 if LONG else 200)
@given(counting())
def test_counting_is_right_exactly_if_the_search_finds_an_order(history: list[Operation]) -> None:
    assert counts_right(history) == (find_order(history, counter, 0) is not None)


@pytest.mark.parametrize("results", [[0, 0], [1, 2], [0, 2], [0, None]], ids=str)
def test_a_counter_that_repeats_or_leaves_out_is_wrong(results: list[Any]) -> None:
    assert not counts_right([operation(0, 10, "next", result=result) for result in results])


# -- real histories ----------------------------------------------------------------------


def use_rows(worker: pydsm.Worker, rounds: int, count: int) -> dict[int, list[Operation]]:
    """Do random things to random rows; return what was done to each.  Every round begins together."""
    A, dice = worker["A"], random.Random(worker.rank)
    logs = {row: Recorder(worker.rank) for row in range(len(A))}
    for number in range(rounds * count):
        if number % count == 0:
            worker.barrier()
        row = dice.randrange(len(A))
        action = random_action(dice, 1000 + number * worker.size + worker.rank)
        pause = dice.choice([None, os.sched_yield])
        use = functools.partial(use_row, timeout=dice.choice([None, None, None, 0]), pause=pause)
        with contextlib.suppress(pydsm.LockTimeoutError):  # then it must not have happened
            logs[row].call(action, use, A, row, action)
    return {row: log.operations for row, log in logs.items()}


def check_rows(results: list[dict[int, list[Operation]]]) -> int:
    """Check the history of each row; return how many operations that were."""
    count = 0
    for row in results[0]:
        history = [one for result in results for one in result[row]]
        assert find_order(history, register, 0) is not None, describe(history, register, 0)
        count += len(history)
    return count


@pytest.mark.parametrize(("size", "stripes"), [(2, 2), (3, 2), (4, 2), (4, 1)])
def test_reads_writes_adds_and_swaps_in_regions_are_linearizable(size: int, stripes: int) -> None:
    with pydsm.Team(size) as team:
        team.array("A", (2, CELLS), int, stripes=stripes)
        assert check_rows(team.run(use_rows, 20, 50)) > 700 * size


@only_long
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("size", "stripes", "rows"), [(2, 1, 1), (3, 1, 1), (4, 1, 1), (4, 2, 4)])
def test_ten_thousand_small_histories_are_linearizable(size: int, stripes: int, rows: int) -> None:
    with pydsm.Team(size) as team:
        team.array("A", (rows, CELLS), int, stripes=stripes)
        assert check_rows(team.run(use_rows, 10_000, 5)) > 30_000 * size


def use_pairs(worker: pydsm.Worker, count: int) -> list[Operation]:
    A, B, dice, log = worker["A"], worker["B"], random.Random(worker.rank), Recorder(worker.rank)
    worker.barrier()
    for _ in range(count):
        action = dice.choice([("look",), ("move", dice.randrange(1, 9))])
        log.call(action, use_pair, A, B, 1, action)
    return log.operations


@pytest.mark.parametrize("size", [2, 4])
def test_regions_of_two_arrays_move_both_rows_at_once(size: int) -> None:
    with pydsm.Team(size) as team:
        for name in "BA":
            team.array(name, (3, 1), int)
        results = team.run(use_pairs, 20_000 if LONG else 200)
        history = [one for result in results for one in result]
        assert find_order(history, pair, (0, 0)) is not None, describe(history, pair, (0, 0))


def take_numbers(worker: pydsm.Worker, count: int) -> list[Operation]:
    A, lock, log = worker["A"], worker["lock"], Recorder(worker.rank)

    def take() -> int:
        with lock:
            number = int(A[0])
            A[0] = number + 1
            return number

    worker.barrier()
    for _ in range(count):
        log.call(("next",), take)
    return log.operations


@pytest.mark.parametrize("size", [2, 4])
def test_a_counter_under_a_named_lock_is_linearizable(size: int) -> None:
    with pydsm.Team(size) as team:
        team.array("A", 1, int)
        team.lock("lock")
        history = [one for result in team.run(take_numbers, 50_000 if LONG else 500) for one in result]
        assert len(history) == (50_000 if LONG else 500) * size
        assert counts_right(history)


# -- real histories with deaths in them ------------------------------------------------------


class Fuse:
    """Kills this process when it is called for the n-th time."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def update_until_death(worker: pydsm.Worker, seed: int, count: int) -> None:
    """Do random things to a row; all but rank 0 die in the middle of a swap."""
    A, journal, dice = worker["A"], Journal(worker["log"][worker.rank]), random.Random(10 * seed + worker.rank)
    last = dice.randrange(count) if worker.rank else count
    worker.barrier()
    for number in range(count):
        new = 1000 + number * worker.size + worker.rank
        action = ("swap", new) if number == last else random_action(dice, new)
        pause = Fuse(dice.randrange(CELLS + 1)) if number == last else os.sched_yield
        use = functools.partial(use_row, pause=pause, undo=True, recover=True)
        with contextlib.suppress(pydsm.OwnerDiedError):  # a reader does not take over
            journal.call(action, use, A, 0, action)


def look_after_death(A: pydsm.GlobalArray, log: Recorder) -> None:
    """Read what is there at the end, whoever died in it."""
    with A.locked(0, recover=True):
        log.call(("read",), value_of, A[0])


@pytest.mark.parametrize("size", [2, 3, 4])
def test_what_the_dead_were_in_the_middle_of_has_happened_or_has_not(size: int) -> None:
    count = 40
    for seed in range(500 if LONG else 5):
        with pydsm.Team(size, on_death="continue") as team:
            A, log = team.array("A", (1, CELLS), int), team.array("log", (size, count, Journal.COLUMNS), int)
            ended = team.run(update_until_death, seed, count)
            assert [isinstance(result, pydsm.WorkerDiedError) for result in ended] == [False] + [True] * (size - 1)
            end = Recorder(-1)
            look_after_death(A, end)
            history = [*end.operations, *(one for rank in range(size) for one in Journal.read(log[rank], rank))]
            assert sum(one.responded is None for one in history) == size - 1
            assert find_order(history, register, 0) is not None, describe(history, register, 0)


def die_half_way(worker: pydsm.Worker, undo: bool) -> None:
    if worker.rank:
        action = ("write", 5)
        Journal(worker["log"][1]).call(
            action, functools.partial(use_row, pause=Fuse(1), undo=undo), worker["A"], 0, action
        )


@pytest.mark.parametrize("undo", [False, True])
def test_half_an_update_shows_exactly_if_it_is_not_undone(undo: bool) -> None:
    with pydsm.Team(2, on_death="continue") as team:
        A, log = team.array("A", (1, CELLS), int), team.array("log", (2, 1, Journal.COLUMNS), int)
        team.run(die_half_way, undo)
        end = Recorder(-1)
        look_after_death(A, end)
        history = [*end.operations, *Journal.read(log[1], 1)]
        assert [(one.action[0], one.responded is None) for one in history] == [("read", False), ("write", True)]
        assert (find_order(history, register, 0) is not None) == undo


# -- without the right lock it is noticed ------------------------------------------------------


def add_under(worker: pydsm.Worker, guards: list[int | None], tries: int) -> list[Operation]:
    """Add to row 0 with both workers between reading and writing at the same time."""
    A, log, guard = worker["A"], Recorder(worker.rank), guards[worker.rank]

    def add() -> int:
        with contextlib.nullcontext() if guard is None else A.locked(guard):
            old = int(A[0, 0])
            worker.barrier()
            A[0] = old + 1
            return old + 1

    for _ in range(tries):
        worker.barrier()
        log.call(("add", 1), add)
    return log.operations


@pytest.mark.parametrize(
    "guards",
    [[None, None], [0, None], [0, 1], [1, 2]],
    ids=["no lock", "one without a lock", "one locks another row", "both lock other rows"],
)
def test_updates_without_the_lock_of_the_row_are_found_wrong(guards: list[int | None]) -> None:
    with pydsm.Team(2) as team:
        team.array("A", (3, CELLS), int)
        history = [one for result in team.run(add_under, guards, 5) for one in result]
        assert len(history) == 10
        assert find_order(history, register, 0) is None
        assert not counts_right([one._replace(result=one.result - 1) for one in history])
        assert "add 1 -> " in describe(history, register, 0)


def look_at_half_a_write(worker: pydsm.Worker) -> list[Operation]:
    """Rank 0 stops in the middle of a write; rank 1 looks meanwhile, under another row's lock."""
    A, log = worker["A"], Recorder(worker.rank)

    def write() -> None:
        with A.locked(0):
            A[0, 0] = 5
            worker.barrier()
            worker.barrier()
            A[0, 1:] = 5

    def read() -> Any:
        with A.locked(1, shared=True):
            return value_of(A[0])

    if worker.rank == 0:
        log.call(("write", 5), write)
    else:
        worker.barrier()
        log.call(("read",), read)
        worker.barrier()
    return log.operations


def test_half_a_write_seen_without_the_lock_is_found_wrong() -> None:
    with pydsm.Team(2) as team:
        team.array("A", (2, CELLS), int)
        history = [one for result in team.run(look_at_half_a_write) for one in result]
        assert find_order(history, register, 0) is None
        assert "read -> torn [5, 0, 0]" in describe(history, register, 0)
