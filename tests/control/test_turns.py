from __future__ import annotations

import itertools
from collections.abc import Generator

import pytest

from pydsm.control.board import FROZEN, NOBODY, Board, Word
from pydsm.control.plan import Plan
from pydsm.control.turns import Turns
from tests.control.simulation import STEP, STIR, Shared, Wait, simulate

SEEDS = range(60)


def begun(size: int, seed: int = 0) -> tuple[Turns, Board]:
    board = Board.private(size)
    turns = Turns(board, Plan(seed))
    turns.begin()
    return turns, board


def logger(name: int, steps: int) -> object:
    def thread(shared: Shared) -> Generator[str]:
        for _ in range(steps):
            yield STEP
            shared["log"].append(name)

    return thread


def test_every_order_of_a_small_program_is_reached_and_no_other() -> None:
    reached = {tuple(simulate([logger(0, 2), logger(1, 3)], seed, log=[]).shared["log"]) for seed in range(200)}
    assert reached == set(itertools.permutations((0, 0, 1, 1, 1)))


def test_every_order_of_three_is_reached() -> None:
    threads = [logger(rank, 2) for rank in range(3)]
    reached = {tuple(simulate(threads, seed, log=[]).shared["log"]) for seed in range(1500)}
    assert reached == set(itertools.permutations((0, 0, 1, 1, 2, 2)))
    assert len(reached) == 90


def lock(name: str, me: int) -> Wait:
    def take(shared: Shared) -> bool:
        return shared.setdefault(name, me) == me

    return Wait(take, locking=True)


def opposed(me: int) -> object:
    first, second = ("A", "B") if me == 0 else ("B", "A")

    def thread(shared: Shared) -> Generator[object]:
        for name in (first, second):
            yield STEP
            yield lock(name, me)
        for name in (second, first):
            del shared[name]
            yield STIR
            yield STEP

    return thread


def idle(shared: Shared) -> Generator[object]:
    yield STEP


def at_barrier(shared: Shared) -> Generator[object]:
    yield STEP
    yield Wait(lambda shared: shared.get("all here", False))


def test_a_deadlock_is_told_to_the_highest_rank_that_wants_a_lock() -> None:
    endings = [simulate([opposed(0), opposed(1), at_barrier], seed) for seed in SEEDS]
    doomed = [ending.doomed for ending in endings]
    assert [1] in [each[:1] for each in doomed]
    assert all(each[:1] in ([1], [2]) for each in doomed)  # 2 is alone at the barrier where the others got through
    got_through = [each for each in doomed if each == [2]]
    assert got_through


def test_only_one_gives_up_and_the_others_get_on_if_that_helps() -> None:
    def careful(shared: Shared) -> Generator[object]:
        try:
            yield from opposed(1)(shared)
        finally:
            if shared.get("B") == 1:  # gives it back while it gives up
                del shared["B"]

    endings = [simulate([opposed(0), careful], seed) for seed in SEEDS]
    assert {tuple(ending.doomed) for ending in endings} == {(), (1,)}


def test_time_is_over_for_the_lowest_rank_with_a_timeout_when_nobody_else_can_move() -> None:
    def impatient(shared: Shared) -> Generator[object]:
        yield STEP
        came = yield Wait(lambda shared: False, timed=True)
        shared["given up"].append(came)

    def counted(me: int) -> object:
        def thread(shared: Shared) -> Generator[object]:
            yield from impatient(shared)
            shared["order"].append(me)

        return thread

    for seed in SEEDS:
        ending = simulate([counted(0), counted(1), idle], seed, order=[], **{"given up": []})
        assert ending.shared["order"] == [0, 1]
        assert ending.shared["given up"] == [False, False]
        assert ending.doomed == []


def test_a_plain_write_is_found_before_anybody_gives_up() -> None:
    def silent(shared: Shared) -> Generator[object]:
        yield STEP
        shared["flag"] = True  # and tells nobody
        yield Wait(lambda shared: shared.get("answer", False))

    def answerer(shared: Shared) -> Generator[object]:
        yield STEP
        yield Wait(lambda shared: shared.get("flag", False))
        shared["answer"] = True

    for seed in SEEDS:
        for threads in ([silent, answerer], [answerer, silent]):  # who would give up is the highest rank
            assert simulate(threads, seed).doomed == []


def test_who_waits_for_what_an_end_brings_may_be_the_next_to_run() -> None:
    def ender(shared: Shared) -> Generator[object]:
        while not shared.get("asked"):  # the other waits already
            yield STEP
        shared["ended"] = True

    def has_ended(shared: Shared) -> bool:
        shared["asked"] = True
        return bool(shared.get("ended"))

    def waiter(shared: Shared) -> Generator[object]:
        yield Wait(has_ended)
        shared["log"].append("waiter")

    def other(shared: Shared) -> Generator[object]:
        while not shared.get("ended"):
            yield STEP
        yield STEP
        shared["log"].append("other")

    orders = {tuple(simulate([ender, waiter, other], seed, log=[]).shared["log"]) for seed in SEEDS}
    assert orders == {("waiter", "other"), ("other", "waiter")}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_turn_of_the_dead_goes_to_somebody_who_lives(size: int) -> None:
    turns, board = begun(size, seed=3)
    for left in range(size - 1, -1, -1):
        dead = board.words.load(Word.TURN) - 1
        turns.lose(dead, survive=True)
        turn = board.words.load(Word.TURN)
        assert turn == NOBODY if left == 0 else turn - 1 not in (dead, -1)
    assert board.words.load(Word.TURN) == NOBODY


def test_the_turn_is_not_given_to_the_dead() -> None:
    for seed in SEEDS:
        turns, board = begun(3, seed)
        me = board.words.load(Word.TURN) - 1
        turns.lose((me + 1) % 3, survive=True)
        assert board.words.load(Word.TURN) == me + 1  # it was not the dead one's
        for _ in range(20):
            me = board.words.load(Word.TURN) - 1
            assert me != (me + 1) % 3
            turns.step(me, 0)
        assert not board.words.load(Word.GONE) >> me & 1


def test_a_turn_given_to_the_dead_by_one_that_died_before_it_looked_is_not_lost() -> None:
    turns, board = begun(3)
    me = board.words.load(Word.TURN) - 1
    dead, other = (me + 1) % 3, (me + 2) % 3
    turns.lose(dead, survive=True)
    board.words.store(Word.TURN, dead + 1)  # the last that `me` did
    turns.lose(me, survive=True)
    assert board.words.load(Word.TURN) == other + 1


def test_who_dies_while_the_turn_is_given_to_it_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in SEEDS:
        turns, board = begun(3, seed)
        me = board.words.load(Word.TURN) - 1
        pick, dead = turns._strategy.pick, []

        def pick_one_that_dies(able: int, pick: object = pick, dead: list[int] = dead, board: Board = board) -> int:
            chosen: int = pick(able)
            if not dead:
                dead.append(chosen)
                board.words.or_(Word.GONE, 1 << chosen)  # as the parent does, who then finds that it had no turn
            return chosen

        monkeypatch.setattr(turns._strategy, "pick", pick_one_that_dies)
        turns.leave(me)
        assert board.words.load(Word.TURN) - 1 not in (me, *dead, -1)


def test_nobody_runs_after_a_death_that_ends_the_run() -> None:
    turns, board = begun(2)
    me = board.words.load(Word.TURN) - 1
    turns.lose(1 - me, survive=False)
    assert board.words.load(Word.TURN) == me + 1
    turns.lose(me, survive=False)
    assert board.words.load(Word.TURN) == FROZEN
    turns.lose(1 - me, survive=True)
    assert board.words.load(Word.TURN) == FROZEN


def test_runs_of_a_team_have_schedules_of_their_own_and_one_digest() -> None:
    digests = []
    for _ in range(2):
        board = Board.private(4)
        turns = Turns(board, Plan(5))
        seeds = []
        for _ in range(3):
            turns.begin()
            seeds.append(board.words.load(Word.SEED))
            while turn := board.words.load(Word.TURN):
                turns.leave(turn - 1)
        assert len(set(seeds)) == 3
        digests.append(board.words.load(Word.DIGEST))
    assert digests[0] == digests[1]


def test_what_is_said_of_a_worker_is_cut_but_never_breaks() -> None:
    board = Board.private(2)
    board.write(0, "waits for " + "ä" * 600)
    board.write(1, "x")
    assert board.read(0).startswith("waits for ää")
    assert board.read(1) == "x"
    board.write(0, "")
    assert board.read(0) == ""
