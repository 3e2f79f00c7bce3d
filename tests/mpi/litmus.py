"""Programs whose results are exact, on all the workers of an MPI job; run on its rank 0 (`inside`)."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.native import held
from tests.conftest import our_names

TURNS = 2100 if os.environ.get("PYDSM_LONG") else 42


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    yield
    gc.collect()
    assert our_names() == [], "names left in shared memory"
    assert held() == 0, "rows or locks still held"


@pytest.fixture
def team() -> Iterator[pydsm.Team]:
    with pydsm.Team() as team:
        yield team


# -- merging ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "f8", "V12"])
def test_owners_of_columns_under_row_locks_lose_nothing(team: pydsm.Team, dtype: str) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(TURNS):
            with A.locked(turn % 3) as row:
                mine = row[worker.rank :: worker.size]
                mine[...] = (np.array(mine).view("u1") + 1).view(dtype) if dtype == "V12" else mine + 1

    A = team.array("A", (3, 4 * team.size), dtype)
    team.run(program)
    found = np.array(A).view("u1" if dtype == "V12" else dtype)
    assert (found == np.array(TURNS // 3).astype(found.dtype)).all()


def test_a_sibling_that_writes_while_others_merge_loses_nothing(team: pydsm.Team) -> None:
    """Every worker owns every n-th element and counts it up without a lock; now and then it synchronises somehow."""

    def program(worker: pydsm.Worker) -> int:
        A, lost = worker["A"], 0
        mine = A[worker.rank :: worker.size]
        for turn in range(1, 15 * TURNS):
            lost += int((mine != turn - 1).any())
            mine += 1
            if turn % 7 == worker.rank % 7:
                A.fence()
            elif turn % 11 == worker.rank:
                with A.locked(turn % len(A), fence=worker.rank == 1):
                    pass
        return lost

    A = team.array("A", 64 * team.size, np.int64, stripes=5)  # a stripe has elements of all owners
    assert team.run(program) == [0] * team.size
    assert (A == 15 * TURNS - 1).all()


def test_writers_of_one_row_count_exactly(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> None:
        A, hot = worker["A"], worker["hot"]
        random = np.random.default_rng(worker.rank)
        for row in random.integers(len(A), size=TURNS).tolist():
            with A.locked(row):
                A[row] += 1
            with hot.locked(0):
                hot[0] += 1

    A, hot = team.array("A", 50, int), team.array("hot", 1, int)
    for _ in range(2):
        team.run(program)
    assert (A.sum(), hot[0]) == (2 * TURNS * team.size, 2 * TURNS * team.size)


def test_regions_of_rows_at_many_homes_exclude_each_other(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, B, torn = worker["A"], worker["B"], 0
        random = np.random.default_rng(worker.rank)
        for _ in range(TURNS):
            rows = np.unique(random.integers(len(A), size=5))
            with A.locked(rows):
                A[rows] += 1
            with pydsm.locked((B, slice(None)), (A, 0)) as (all_of_b, _):
                torn += int((all_of_b != all_of_b[0]).any())
                all_of_b += 1
            with B.locked(shared=True) as seen:
                torn += int((seen != seen[0]).any())
            worker["wanted"].accumulate(rows, 1)
        return torn

    A, B = team.array("A", 40, int), team.array("B", 12, int)
    wanted = team.array("wanted", 40, int)
    assert team.run(program) == [0] * team.size
    assert (TURNS * team.size == B).all()
    assert np.array_equal(A, wanted)


def test_nested_regions_give_their_rows_back_once(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(TURNS):
            with A.locked(slice(0, None, 3)):
                with A.locked([0, 3]):
                    A[turn % len(A) // 3 * 3] += 1
                assert A.holds(0)
            assert not A.holds(0)

    A = team.array("A", 12, int)
    team.run(program)
    assert A.sum() == TURNS * team.size


def test_a_region_that_is_undone_leaves_its_rows_as_they_were(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for turn in range(TURNS):
            try:
                with A.locked(undo=True) as rows:
                    rows += 1
                    if turn % 2:
                        raise ValueError
            except ValueError:
                pass

    A = team.array("A", 8, int)
    team.run(program)
    assert (TURNS // 2 * team.size == A).all()


# -- fences, barriers, locks ---------------------------------------------------------------


def test_many_writers_and_fences_around_a_queue(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A, turn_of, wrong = worker["A"], worker["turn"], 0
        for turn in range(TURNS):
            A[worker.rank :: worker.size] = turn
            A.fence()
            with turn_of.locked(0):
                turn_of[0] += 1
            while True:
                with turn_of.locked(0, shared=True):
                    if turn_of[0] >= (turn + 1) * worker.size:
                        break
            A.fence()
            wrong += int((turn > A).any())
        return wrong

    team.array("A", 10 * team.size, int)
    team.array("turn", 1, int)
    assert team.run(program) == [0] * team.size


def test_a_named_lock_publishes_all_arrays(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> None:
        for _ in range(TURNS):
            with worker["lock"]:
                worker["A"][...] += 1
                worker["B"][0, 0] += worker["A"][-1]

    A, B = team.array("A", 30, int), team.array("B", (3, 3))
    team.lock("lock")
    team.run(program)
    n = TURNS * team.size
    assert (n == A).all()
    assert B[0, 0] == n * (n + 1) / 2


def test_a_barrier_brings_every_array_everywhere(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A, B, right = worker["A"], worker["B"], True
        for turn in range(TURNS):
            mine = worker.split(len(A))
            A[mine.start : mine.stop] = turn
            B[:, worker.rank] = -turn
            worker.barrier()
            right &= bool((turn == A).all() and (-turn == B).all())
            worker.barrier()
        return right

    team.array("A", 1000, np.int32)
    team.array("B", (7, team.size))
    assert team.run(program) == [True] * team.size


def test_timeouts_say_that_somebody_holds_the_rows(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> str:
        A, said = worker["A"], ""
        for owner in range(worker.size):
            if worker.rank == owner:
                with A.locked():
                    worker.barrier()
                    worker.barrier()
            else:
                worker.barrier()
                for timeout in (0, 0.05):
                    try:
                        with A.locked(-1, timeout=timeout):
                            return "had it"
                    except pydsm.LockTimeoutError as error:
                        if not error.holders or "row 8" not in error.rows:
                            said += f"{owner}: {error} "
                worker.barrier()
            with A.locked(timeout=5):
                A[0] += 1
            worker.barrier()
        return said

    A = team.array("A", 9, int)
    assert team.run(program) == [""] * team.size
    assert A[0] == team.size**2


# -- elements ----------------------------------------------------------------------------------


def test_atomic_operations_on_views_and_of_all_kinds(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[Any]:
        A, F = worker["A"], worker["F"]
        view = A[::-1, 1]
        for turn in range(TURNS):
            view.fetch_add(turn % len(view), 1)
            F.fetch_max((turn % 5, 0), float(worker.size - 1))
            A.fetch_or((turn % len(A), 2), 1 << worker.rank)
            A.accumulate(slice(None), np.ones(3, int) * [1, 0, 0])
        return [A.compare_and_swap((0, 2), -1, 0), F.swap((worker.rank % 5, 0), 9.0) in (9.0, worker.size - 1)]

    A, F = team.array("A", (12, 3), int), team.array("F", (5, 1))
    seen = team.run(program)
    assert seen == [[False, True]] * team.size
    assert (A[:, 0] == TURNS * team.size).all()
    assert A[:, 1].sum() == TURNS * team.size
    assert (A[:, 2] == (1 << team.size) - 1).all()
    assert set(np.unique(F)) <= {9.0, team.size - 1}


def test_accumulate_counts_exactly_over_all_homes(team: pydsm.Team) -> None:
    samples = np.random.default_rng(3).integers(200, size=4000)

    def program(worker: pydsm.Worker) -> bool:
        mine = worker.split(len(samples))
        H = worker["H"]
        for part in np.array_split(samples[mine.start : mine.stop], 5):
            H.accumulate(part, 1)
        before = H.sum()
        return bool(before >= len(mine))

    H = team.array("H", 200, np.int32)
    assert team.run(program) == [True] * team.size
    assert np.array_equal(H, np.bincount(samples, minlength=200))


def test_wrong_elements_are_refused_as_on_one_node(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        A, said = worker["A"], []
        for call in (
            lambda: A.fetch_add(99, 1),
            lambda: A.fetch_add(-1, 300),
            lambda: A.fetch_add(0, 1.5),
            lambda: A.accumulate([0, 99], 1),
            lambda: A.wait_until(-1, "==", 7, timeout=0.01),
            lambda: A.wait_until(0, "==", 7, timeout=0),
        ):
            try:
                call()
            except Exception as error:
                said.append(type(error).__name__)
        return said

    team.array("A", 8, np.uint8)
    kinds = ["IndexError", "OverflowError", "TypeError", "IndexError", "WaitTimeoutError", "WaitTimeoutError"]
    assert team.run(program) == [kinds] * team.size


def test_waiting_goes_round_all_workers(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> bool:
        T, data, right = worker["T"], worker["data"], True
        for turn in range(TURNS):
            T.wait_until(-1, "==", turn * worker.size + worker.rank)
            right &= bool(data[0] == turn * worker.size + worker.rank)
            data[0] += 1
            T.fetch_add(-1, 1)
        return right

    team.array("T", 3, np.int64)
    team.array("data", 5, int)
    assert team.run(program) == [True] * team.size


def test_a_guarded_array_changes_only_in_its_regions(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[str]:
        A, said = worker["A"], []
        for turn in range(TURNS):
            with A.locked(turn % len(A)) as row:
                row += 1
        for write in (lambda: A.fetch_add(0, 1), lambda: A.accumulate(0, 1)):
            try:
                write()
            except ValueError as error:
                said.append(str(error).split(":")[0])
        return said

    A = team.array("A", 6, int, access="guarded")
    assert team.run(program) == [["array 'A' is read-only here; it is guarded"] * 2] * team.size
    assert A.sum() == TURNS * team.size


# -- arrays, handles, collectives ------------------------------------------------------------------


def test_arrays_that_workers_make_are_everybodys(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> list[int]:
        if worker.rank == worker.size - 1:
            late = pydsm.create("late", (worker.size, 2), int)
            late[:, 0] = 7
            try:
                pydsm.create("late", 3)
            except pydsm.NameExistsError:
                late[:, 1] = 8
        worker.barrier()
        late = worker["late"]
        with late.locked(worker.rank) as row:
            row += worker.rank
        worker.barrier()
        return late.sum(axis=1).tolist()

    expected = [15 + 2 * rank for rank in range(team.size)]
    assert team.run(program) == [expected] * team.size
    assert team["late"].sum(axis=1).tolist() == expected
    pydsm.unlink(f"{team.namespace}/late")
    with pytest.raises(pydsm.UnknownNameError):
        team["late"]


def test_handles_mean_the_same_array_on_every_node(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker, part: Any) -> Any:
        with part.locked(worker.rank) as row:
            row[...] = worker.rank + 1
        return part[worker.rank : worker.rank + 1], worker["lock"], part.namespace

    A = team.array("A", team.size + 5, int)
    team.lock("lock")
    found = team.run(program, A[2:])
    assert A.tolist() == [0, 0, *range(1, team.size + 1), 0, 0, 0]
    assert [part.tolist() for part, _, _ in found] == [[rank + 1] for rank in range(team.size)]
    assert {where for _, _, where in found} == {team.namespace}
    with found[-1][1]:
        found[0][0][0] = 9
    assert A[2] == 9


def test_collectives_agree_to_the_last_bit(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> Any:
        vector = np.arange(20_000) / (worker.rank + 3)
        total = worker.allreduce(vector)
        least = worker.allreduce(worker.rank, "max")
        only = worker.reduce(np.float32(worker.rank), root=worker.size - 1)
        shared = [list(piece) for piece in worker.share(101)] + [list(piece) for piece in worker.share(7, chunk=2)]
        return total.tobytes(), least, only, [i for piece in shared for i in piece], worker.random.random()

    results = team.run(program)
    plain = np.arange(20_000) / 3
    for rank in range(1, team.size):
        plain = plain + np.arange(20_000) / (rank + 3)
    assert {total for total, *_ in results} == {plain.tobytes()}
    assert [most for _, most, *_ in results] == [team.size - 1] * team.size
    assert [only for _, _, only, *_ in results] == [None] * (team.size - 1) + [sum(range(team.size))]
    given = sorted(i for *_, shared, _ in results for i in shared)
    assert given == sorted([*range(101), *range(7)])
    assert len({number for *_, number in results}) == team.size


def test_what_the_parent_writes_between_runs_is_seen(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> int:
        A = worker["A"]
        seen = int(A.sum())
        worker.barrier()
        A[worker.rank] += 1
        return seen

    A = team.array("A", 4 * team.size, np.int16)
    for turn in range(4):
        A[:] = turn
        A[-1] = 100
        expected = turn * (len(A) - 1) + 100
        assert team.run(program) == [expected] * team.size
        assert A.sum() == expected + team.size


@pytest.mark.parametrize("shape", [0, (0, 3), (3, 0), 1, (2, 2, 2)])
def test_arrays_of_all_shapes(team: pydsm.Team, shape: Any) -> None:
    def program(worker: pydsm.Worker) -> tuple[int, ...]:
        A = worker["A"]
        with A.locked():
            A[...] += 1
        A.fence()
        worker.barrier()
        return A.shape

    A = team.array("A", shape, ">i4")
    assert team.run(program) == [A.shape] * team.size
    assert (team.size == A).all()


# -- failures -------------------------------------------------------------------------------------


def test_a_workers_error_ends_the_run_and_the_next_one_works(team: pydsm.Team) -> None:
    def fail(worker: pydsm.Worker) -> None:
        if worker.rank == worker.size - 1:
            with worker["A"].locked(0):
                raise KeyError("on purpose")
        while True:
            with worker["A"].locked(slice(None)):
                worker["A"][0] += 1

    def stand(worker: pydsm.Worker) -> None:
        if worker.rank:
            worker.barrier()

    A = team.array("A", 10, int)
    for _ in range(3):
        with pytest.raises(pydsm.WorkerError, match="on purpose") as caught:
            team.run(fail)
        assert caught.value.rank == team.size - 1
        assert "raise KeyError" in caught.value.remote_traceback
    if team.size > 1:
        with pytest.raises(pydsm.WorkerError, match="rank 0 returned without coming"):
            team.run(stand)
    A[:] = 0

    def count(worker: pydsm.Worker) -> None:
        for _ in range(TURNS):
            with worker["A"].locked(0):
                worker["A"][0] += 1

    team.run(count)
    assert A[0] == TURNS * team.size


def test_a_team_says_what_it_cannot_have(team: pydsm.Team) -> None:
    with pytest.raises(ValueError, match=f"has {team.size}: of its"):
        pydsm.Team(team.size + 1)
    with pytest.raises(ValueError, match="on_death"):
        pydsm.Team(on_death="continue")
    with pytest.raises(MemoryError, match=r"no room|does not fit"):
        team.array("huge", 1 << 50, np.uint8)
    assert "huge" not in team.resources
    with pydsm.Team(1) as alone:
        assert alone.run(lambda worker: worker.size) == [1]


# -- blocks and files --------------------------------------------------------------------------------


def test_a_stencil_on_own_rows_needs_only_the_rows_beside_them(team: pydsm.Team) -> None:
    def sweep(worker: pydsm.Worker, turns: int) -> None:
        A, B = worker["A"], worker["B"]
        own = A.distribution(worker.rank)
        for _ in range(turns):
            around = A.halo(1)
            before = own.start - max(0, own.start - 1)
            padded = np.concatenate([around[:1]] * (1 - before) + [around])
            padded = np.concatenate([padded] + [around[-1:]] * (2 + own.stop - own.start - len(padded)))
            B.local()[:] = (padded[:-2] + padded[2:]) // 2
            B.fence(own)
            worker.barrier()
            A.local()[:] = B.local()
            A.fence(own)
            worker.barrier()

    start = np.random.default_rng(1).integers(1000, size=(50, 3))
    A, _ = team.array("A", start.shape, int), team.array("B", start.shape, int)
    A[:] = start
    team.run(sweep, 10)
    for _ in range(10):
        padded = np.concatenate([start[:1], start, start[-1:]])
        start = (padded[:-2] + padded[2:]) // 2
    assert np.array_equal(A, start)


def test_blocks_cover_all_rows_once_and_copies_are_of_the_home(team: pydsm.Team) -> None:
    def program(worker: pydsm.Worker) -> bool:
        A = worker["A"]
        A.local()[:] = worker.rank
        worker.barrier()
        right = bool((A.get(A.distribution(-1)) == worker.size - 1).all())
        worker.barrier()
        A.put([worker.rank, 30 + worker.rank], 100 + worker.rank)
        worker.barrier()
        return right and A.get(slice(30, 30 + worker.size)).tolist() == list(range(100, 100 + worker.size))

    A = team.array("A", 61, int)
    assert team.run(program) == [True] * team.size
    parts = [A.distribution(rank) for rank in range(team.size)]
    assert [row for part in parts for row in range(61)[part]] == list(range(61))


def test_arrays_are_saved_and_loaded_at_barriers(team: pydsm.Team, tmp_path: Any) -> None:
    def program(worker: pydsm.Worker, file: str) -> bool:
        A = worker["A"]
        A[worker.rank :: worker.size] = worker.rank
        worker.save(file)
        A[worker.rank :: worker.size] = -1
        worker.load(file)
        return bool((np.arange(len(A)) % worker.size == A).all())

    A = team.array("A", 40, int)
    team.array("G", (3, 3), access="guarded")
    assert team.run(program, str(tmp_path / "saved.npz")) == [True] * team.size
    A[:] = 0
    team.load(tmp_path / "saved.npz")
    assert np.array_equal(A, np.arange(40) % team.size)
    assert [file.name for file in tmp_path.iterdir()] == ["saved.npz"]


# -- messages ------------------------------------------------------------------------------------------


def test_each_operation_sends_the_messages_it_needs_and_no_more(team: pydsm.Team) -> None:
    """Counted in the one worker that does anything, the first; what it sends is all there is but the answers."""

    def program(worker: pydsm.Worker) -> dict[str, dict[str, int]]:
        from pydsm.mpi.array import engine

        A, far = worker["A"], len(worker["A"]) - 1
        worker.barrier()
        working = engine()
        if working is None or worker.rank:
            worker.barrier()
            return {}
        world = working.client.world
        counts: dict[str, dict[str, int]] = {}

        def count(what: str, act: Any) -> None:
            before = world.messages.copy()
            act()
            counts[what] = dict(world.messages - before)

        def enter(*rows: Any) -> Any:
            def act() -> None:
                for each in rows:
                    with A.locked(each):
                        A[each] += 1

            return act

        def together() -> None:
            with pydsm.locked((A, [0, far]), (worker["B"], slice(None))):
                pass

        def nested() -> None:
            with A.locked(far), A.locked(far):
                pass

        def look() -> None:
            with A.locked(far, shared=True):
                pass

        count("own row", enter(0, 0))
        count("far row", enter(far))
        count("far row three times", enter(far, far, far))
        count("both", together)
        count("nested", nested)
        count("shared", look)
        working.client.flush(working.node.others)
        count("fence of what nobody wrote", A.fence)
        A[far] = 1
        count("fence", A.fence)
        count("fence of own rows", lambda: A.fence(0))
        count("far atomic", lambda: A.fetch_add(far, 1))
        count("own atomic", lambda: A.fetch_add(0, 1))
        count("wait", lambda: A.wait_until(far, ">", 0))
        count("get", lambda: A.get(far))
        count("view and arithmetic", lambda: (A[:] + 1).sum())
        worker.barrier()
        return counts

    team.array("A", 8 * team.size, int)
    team.array("B", 2, int)
    counts = team.run(program)[0]
    crew = team._crew._crew if team._crew is not None else None  # type: ignore[attr-defined]
    if crew is None or crew.nodes == 1:
        assert not counts
        return
    if crew.counts != (2, 2):
        return
    assert counts == {
        "own row": {},
        "far row": {"acquire": 1, "release": 1},
        "far row three times": {"acquire": 3, "release": 3},
        "both": {"acquire": 2, "release": 1},
        "nested": {"acquire": 1, "release": 1},
        "shared": {"acquire": 1, "release": 1},
        "fence of what nobody wrote": {"pull": 1},
        "fence": {"push": 1, "pull": 1},
        "fence of own rows": {},
        "far atomic": {"atomic": 1},
        "own atomic": {"pull": 1},
        "wait": {"wait": 1},
        "get": {"fetch": 1},
        "view and arithmetic": {},
    }


def test_a_worker_that_never_lets_go_of_its_interpreter_delays_nobody(team: pydsm.Team, tmp_path: Any) -> None:
    """The last worker leaves a region and then sleeps in C, interpreter and all, until another has done its work."""

    def program(worker: pydsm.Worker, pipe: str) -> int:
        import ctypes
        import os

        A = worker["A"]
        worker.barrier()
        if worker.rank == worker.size - 1:
            descriptor = os.open(pipe, os.O_RDWR)
            with A.locked():
                A[:] = 7
            with A.locked(0):
                A[0, 0] = 8
            read = ctypes.PyDLL(None).read(
                descriptor, ctypes.create_string_buffer(1), 1
            )  # holds the interpreter's lock
            os.close(descriptor)
            return int(read)
        if worker.rank == 0:
            done = 0
            while done < len(A):
                with A.locked(done) as row:
                    done += int(row[-1] == 7)
            A.fetch_add((len(A) - 1, 0), 1)
            descriptor = os.open(pipe, os.O_RDWR)
            os.write(descriptor, b"x")
        return 1

    import os

    if team.size == 1:
        return
    A = team.array("A", (16, 1 << 14), int)
    os.mkfifo(tmp_path / "pipe")
    assert team.run(program, str(tmp_path / "pipe")) == [1] * team.size
    assert (A[0, 0], A[-1, 0]) == (8, 8)
