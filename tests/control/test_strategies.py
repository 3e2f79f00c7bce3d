from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

from pydsm.control.board import Board, Rank, Word, place
from pydsm.control.plan import Plan
from pydsm.control.strategies import PCT, strategy_of
from tests.control.simulation import STEP, STIR, Shared, Wait, simulate


def board_of(size: int, seed: int) -> Board:
    board = Board.private(size)
    board.words.store(Word.SEED, seed)
    board.words.store(Word.RUNNABLE, (1 << size) - 1)
    return board


def test_a_random_walk_gives_everybody_the_same_chance() -> None:
    walk = strategy_of(Plan(1), board_of(5, 42))
    walk.begin()
    picked = Counter(walk.pick(0b11010) for _ in range(3000))
    assert set(picked) == {1, 3, 4}
    assert all(900 < count < 1100 for count in picked.values())


def test_pct_runs_who_comes_first_in_a_random_order() -> None:
    orders = set()
    for seed in range(60):
        board = board_of(3, seed)
        pct = strategy_of(Plan(seed, "pct", depth=1), board)
        pct.begin()
        able, order = 0b111, []
        while able:
            order.append(pct.pick(able))
            assert pct.pick(able) == order[-1]  # until something changes
            able &= ~(1 << order[-1])
        orders.add(tuple(order))
    assert len(orders) == 6


def test_pct_lets_who_makes_the_chosen_steps_fall_below_all_others() -> None:
    board = board_of(3, 9)
    pct = PCT(board, depth=3, steps=50)
    pct.begin()
    changes = pct.changes()
    assert sorted(changes.values()) == [1, 2]
    assert all(1 <= step <= 50 for step in changes)
    for step in range(1, 51):
        first = pct.pick(0b111)
        pct.step(first, step)
        assert (pct.pick(0b111) != first) == (step in changes)


def test_another_process_knows_the_same_changes() -> None:
    board = board_of(2, 77)
    mine, other = PCT(board, 4, 30), PCT(board, 4, 30)
    mine.begin()
    assert mine.changes() == other.changes()
    assert len(mine.changes()) == 3
    assert len(PCT(board, 9, 3).changes()) == 3  # no more than there are steps


def test_pct_does_not_let_a_worker_spin_for_ever() -> None:
    board = board_of(2, 5)
    pct = PCT(board, depth=1, steps=10)
    pct.begin()
    first = pct.pick(0b11)
    steps = 0
    while pct.pick(0b11) == first:
        steps += 1
        pct.step(first, steps)
    assert steps == 52  # its first step is nobody's streak yet
    assert board.words.load(place(first, Rank.PRIORITY)) < board.words.load(place(1 - first, Rank.PRIORITY))


def test_who_is_alone_does_not_spin() -> None:
    board = board_of(2, 5)
    pct = PCT(board, depth=1, steps=10)
    pct.begin()
    first = pct.pick(0b11)
    board.words.store(Word.RUNNABLE, 1 << first)
    for step in range(200):
        pct.step(first, step)
    assert pct.pick(0b11) == first


def setter(shared: Shared) -> Generator[str]:
    """Make many steps, and be wrong for two of the last."""
    for _ in range(14):
        yield STEP
    shared["half"] = True
    yield STEP
    yield STEP
    shared["half"] = False
    yield STEP


def looker(shared: Shared) -> Generator[str]:
    yield STEP
    shared["seen"] = shared.get("half", False)


def found(strategy: str, seeds: int) -> int:
    """Say how often the looker sees what is wrong: a bug of depth 2."""
    plans = (Plan(seed, strategy, depth=2, steps=18) for seed in range(seeds))
    return sum(simulate([setter, looker], plan).shared["seen"] for plan in plans)


def test_pct_finds_a_bug_of_depth_2_more_often_than_a_random_walk() -> None:
    seeds = 400  # of these PCT finds it 20 times, the walk never
    by_chance, by_pct = found("random", seeds), found("pct", seeds)
    assert by_pct > by_chance
    assert by_pct >= seeds / (2 * 18)  # what the paper promises: 1 / (n * k**(d - 1))


def waiter(shared: Shared) -> Generator[object]:
    yield STEP
    came = yield Wait(lambda shared: shared["count"] == 2)
    shared["told"] = came


def counter(shared: Shared) -> Generator[object]:
    yield STEP
    shared["count"] += 1
    yield STIR
    yield STEP


@pytest.mark.parametrize(
    "plan", [Plan(seed, name, steps=8) for name in ("random", "pct") for seed in range(20)], ids=str
)
def test_who_waits_goes_on_when_it_comes_whatever_the_strategy(plan: Plan) -> None:
    ending = simulate([waiter, counter, counter], plan, count=0)
    assert ending.shared["told"] is True
    assert ending.doomed == []
    again = simulate([waiter, counter, counter], plan, count=0)
    assert (again.order, again.digest) == (ending.order, ending.digest)
