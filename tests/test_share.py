from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydsm
from pydsm import schedule
from pydsm.core.layout import RING, Slot, Team
from tests import programs
from tests.effort import LONG

lengths = st.integers(0, 300)
chunks = st.one_of(st.just("guided"), st.integers(1, 400))


def taken(worker: pydsm.Worker, shares: list[tuple[int, Any]]) -> list[list[int]]:
    return [[i for part in worker.share(n, chunk) for i in part] for n, chunk in shares]


def joined(lists: Iterable[Iterable[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def is_covered_once(results: list[list[list[int]]], ns: list[int]) -> bool:
    """Say whether the workers together have each number of each share once."""
    return all(sorted(joined(mine[k] for mine in results)) == list(range(n)) for k, n in enumerate(ns))


def is_waiting(worker: pydsm.Worker, rank: int) -> bool:
    return bool(worker._namespace.slots.get(rank, Slot.WAIT))


# -- coverage --------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@settings(max_examples=25 if LONG else 10)
@given(shares=st.lists(st.tuples(lengths, chunks), max_size=40))
def test_the_workers_together_get_everything_once(size: int, shares: list[tuple[int, Any]]) -> None:
    with pydsm.Team(size) as team:
        assert is_covered_once(team.run(taken, shares), [n for n, _ in shares])


@given(n=lengths, chunk=chunks)
def test_outside_of_a_worker_it_is_everything(n: int, chunk: Any) -> None:
    parts = list(pydsm.share(n, chunk))
    assert [i for part in parts for i in part] == list(range(n))
    assert all(len(part) == chunk for part in parts[:-1]) if chunk != "guided" else len(parts) == (n > 0)


def test_a_worker_alone_gets_parts_of_what_is_left() -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        return [len(part) for part in worker.share(100)]

    with pydsm.Team(1) as team:
        (sizes,) = team.run(program)
    left = 100
    for size in sizes:
        assert size == max(1, left // 4)
        left -= size
    assert left == 0


def test_runs_and_teams_after_one_another_begin_anew() -> None:
    with pydsm.Team(2) as team:
        for n in (5, 100, 0, 33):
            assert is_covered_once(team.run(taken, [(n, 3)] * 20), [n] * 20)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_it_works_however_workers_are_started(start: str) -> None:
    with pydsm.Team(2, start=start) as team:
        assert sorted(joined(team.run(programs.share_out, 50))) == list(range(50))


def test_it_works_under_the_original_names() -> None:
    def program(resource: dict[str, Any], n: int) -> None:
        for part in pydsm.share(n, chunk=2):
            for i in part:
                with resource["A"].locked(i):
                    resource["A"][i] += 1

    with pydsm.Cluster(3) as cluster:
        A = cluster.createShared("A", 31, int)
        cluster.runProcesses(program, (31,))
        assert (A == 1).all()


def test_a_team_shares_in_its_workers_only() -> None:
    with pydsm.Team(2) as team:
        assert sorted(joined(team.run(lambda worker: [i for part in team.share(9) for i in part]))) == list(range(9))
        with pytest.raises(RuntimeError, match=r"share\(\) needs a worker"):
            team.share(9)


def test_different_chunks_are_no_disagreement() -> None:
    with pydsm.Team(3) as team:
        results = team.run(lambda worker: taken(worker, [(100, worker.rank + 1), (100, "guided")]))
    assert is_covered_once(results, [100, 100])


def test_the_largest_number_can_be_shared() -> None:
    def program(worker: pydsm.Worker) -> list[range]:
        return list(worker.share(2**48 - 1, chunk=2**46))

    with pydsm.Team(2) as team:
        parts = sorted(joined(team.run(program)), key=lambda part: part.start)
    assert [(part.start, part.stop) for part in parts] == [
        (k * 2**46, min((k + 1) * 2**46, 2**48 - 1)) for k in range(4)
    ]


@pytest.mark.parametrize("call", [pydsm.share, lambda n, chunk: programs.in_a_worker("share", n, chunk)])
@pytest.mark.parametrize(
    ("n", "chunk", "kind", "sentence"),
    [
        (-1, 1, ValueError, "from 0 to 2.*48 - 1, not -1"),
        (2**48, 1, ValueError, "from 0 to"),
        (1.0, 1, TypeError, "is an int, not 1.0"),
        (True, 1, TypeError, "is an int, not True"),
        (1, 0, ValueError, "'guided' or an int from 1, not 0"),
        (1, "static", TypeError, "'guided' or an int, not 'static'"),
        (1, 1.5, TypeError, "'guided' or an int, not 1.5"),
        (1, None, TypeError, "'guided' or an int, not None"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(
    call: Callable[..., Any], n: Any, chunk: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        call(n, chunk)


def test_numbers_of_numpy_are_numbers() -> None:
    assert list(pydsm.share(np.int64(3), np.int8(2))) == [range(2), range(2, 3)]


# -- leaving early, being late ---------------------------------------------------


def test_what_one_breaks_off_the_others_do() -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        mine: list[list[int]] = []
        for _ in range(3 * RING):
            mine.append([])
            for part in worker.share(10, chunk=1):
                mine[-1] += part
                if worker.rank == 0:
                    break
        return mine

    with pydsm.Team(3) as team:
        results = team.run(program)
    assert all(len(each) <= 1 for each in results[0])
    assert is_covered_once(results, [10] * 3 * RING)


def test_who_breaks_off_waits_for_who_is_late_where_the_ring_begins_again() -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        if worker.rank == 1:
            programs.until(lambda: is_waiting(worker, 0))
            worker["reached"][0] = worker._namespace.slots.get(0, Slot.SHARES)
        mine = []
        for _ in range(2 * RING):
            parts = worker.share(10, chunk=2)
            mine.append([i for part in parts for i in part] if worker.rank else list(next(parts, ())))
        return mine

    with pydsm.Team(2) as team:
        reached = team.array("reached", 1, int)
        results = team.run(program)
        assert reached[0] == RING
    assert is_covered_once(results, [10] * 2 * RING)
    assert [0, 1] in results[0]


def test_who_is_late_finds_nothing_left_and_holds_up_nobody() -> None:
    def ahead(worker: pydsm.Worker) -> list[list[int]]:
        if worker.rank == 0:
            with worker["A"].locked(0):
                worker.barrier()
                return taken(worker, [(10, 3)] * 5 * RING)
        worker.barrier()
        with worker["A"].locked(0):
            return taken(worker, [(10, 3)] * 5 * RING)

    with pydsm.Team(2) as team:
        team.array("A", 1, int)
        results = team.run(ahead)
    assert results == [[list(range(10))] * 5 * RING, [[]] * 5 * RING]


def test_who_was_overtaken_in_the_middle_of_a_share_goes_on_with_the_next() -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        first: list[int] = []
        parts = worker.share(10, chunk=5)
        first += next(parts)
        worker.barrier()
        if worker.rank == 1:
            programs.until(lambda: worker._namespace.slots.get(0, Slot.SHARES) > 3 * RING)
        first += [i for part in parts for i in part]
        return [first, *taken(worker, [(10, 3)] * 4 * RING)]

    with pydsm.Team(2) as team:
        assert is_covered_once(team.run(program), [10] * (4 * RING + 1))


def test_tags_may_wrap_while_a_worker_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_TAGS", 4)
    monkeypatch.setattr(schedule, "_STEADY", 1)
    monkeypatch.setattr(schedule, "_FAR", RING)

    def program(worker: pydsm.Worker) -> list[list[int]]:
        if worker.rank == 1:
            programs.until(lambda: is_waiting(worker, 0))
        return taken(worker, [(7, 2)] * 12 * RING)

    with pydsm.Team(2) as team:
        results = team.run(program)
    assert is_covered_once(results, [7] * 12 * RING)
    assert results[0][:RING] == [list(range(7))] * RING


def test_loops_in_one_another_cover_both() -> None:
    def program(worker: pydsm.Worker) -> list[list[int]]:
        outer, inner = [], []
        for part in worker.share(12, chunk=1):
            outer += part
        for one, other in zip(worker.share(40, chunk=1), worker.share(40, chunk=1), strict=False):
            inner += [*one, *other]
        return [outer, inner]

    with pydsm.Team(1) as team:
        ((outer, inner),) = team.run(program)
    assert outer == list(range(12))
    assert sorted(inner) == sorted([*range(40)] * 2)


# -- disagreement, failure, death ------------------------------------------------


def test_workers_that_disagree_on_the_number_are_told() -> None:
    def program(worker: pydsm.Worker) -> str:
        for part in worker.share(100):
            assert part.stop <= 100
        try:
            parts = [*worker.share(10 + worker.rank)]
        except ValueError as error:
            return str(error)
        return f"{sum(map(len, parts))}"

    with pydsm.Team(2) as team:
        for _ in range(10):
            results = team.run(program)
            told = [text for text in results if "call share in the same order, with the same n" in text]
            assert len(told) == 1
            assert str(10 + results.index(told[0])) in told[0]  # its own number is in the sentence
            other = 1 - results.index(told[0])
            assert results[other] == f"{10 + other}"


def test_what_a_dead_worker_has_is_not_given_again() -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        parts = worker.share(30, chunk=3)
        mine = list(next(parts))
        worker["first"][worker.rank] = mine[0]
        worker.barrier()
        if worker.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return mine + [i for part in parts for i in part]

    with pydsm.Team(3, on_death="continue") as team:
        first = team.array("first", 3, int)
        results = team.run(program)
        lost = range(first[1], first[1] + 3)
    assert isinstance(results[1], pydsm.WorkerDiedError)
    assert sorted(results[0] + results[2] + list(lost)) == list(range(30))


def test_a_dead_worker_is_not_waited_for() -> None:
    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 1:
            programs.until(lambda: is_waiting(worker, 0))
            os.kill(os.getpid(), signal.SIGKILL)
        return sum(len(next(worker.share(10, chunk=2))) for _ in range(2 * RING))

    with pydsm.Team(2, on_death="continue") as team:
        assert team.run(program)[0] == 4 * RING


def test_a_worker_that_returned_is_not_waited_for() -> None:
    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 1:
            programs.until(lambda: is_waiting(worker, 0))
            return 0
        return sum(len(next(worker.share(10, chunk=2))) for _ in range(2 * RING))

    with pydsm.Team(2) as team:
        assert team.run(program) == [4 * RING, 0]


def test_who_waits_for_a_worker_that_failed_is_told() -> None:
    def program(worker: pydsm.Worker) -> None:
        if worker.rank == 1:
            programs.until(lambda: is_waiting(worker, 0))
            worker._barrier.fail()  # as it is about to do anyway
            programs.until(lambda: worker["told"][0])  # before the parent ends it
            raise LookupError("mine")
        try:
            for _ in range(2 * RING):
                next(worker.share(10, chunk=2))
        except pydsm.BrokenBarrierError:
            worker["told"][0] = 1
            raise

    with pydsm.Team(2) as team:
        told = team.array("told", 1, int)
        with pytest.raises(pydsm.WorkerError, match="LookupError: mine"):
            team.run(program)
        assert told[0] == 1


def test_two_that_wait_for_one_another_at_a_barrier_and_a_share_are_told() -> None:
    def program(worker: pydsm.Worker) -> str:
        if worker.rank == 0:
            with pytest.raises(pydsm.DeadlockError) as caught:
                for _ in range(2 * RING):
                    next(worker.share(10, chunk=2))
            assert len(caught.value.cycle) == 2
            worker.barrier()
            return str(caught.value)
        worker.barrier()
        return ""

    with pydsm.Team(2) as team:
        assert "waits for rank 1, which is at a barrier and has not left number 1" in team.run(program)[0]


def test_a_worker_that_wants_the_rows_of_one_that_waits_for_it_is_told() -> None:
    def program(worker: pydsm.Worker) -> bool:
        if worker.rank == 0:
            with worker["A"].locked(0):
                for _ in range(2 * RING):
                    next(worker.share(10, chunk=2))
            return False
        programs.until(lambda: is_waiting(worker, 0))
        with pytest.raises(pydsm.DeadlockError, match=r"waits in share\(\)"), worker["A"].locked(0):
            pass
        return True

    with pydsm.Team(2) as team:
        team.array("A", 1, int)
        assert team.run(program) == [False, True]


def test_every_entry_of_the_ring_is_empty_when_a_run_begins() -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        found = [worker._namespace.words.load(Team.SHARES + word) for word in range(8 * RING)]
        worker.barrier()
        taken(worker, [(10, 1)] * RING)
        return found

    with pydsm.Team(2) as team:
        for _ in range(2):
            assert team.run(program) == [[0] * 8 * RING] * 2
