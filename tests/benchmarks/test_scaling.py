"""The cost model and the simulation of many ranks agree where both apply, and with queueing theory."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.scaling import __main__ as command
from benchmarks.scaling import model, programs, tables, timing, wire
from benchmarks.scaling.events import Gate, Loop, Station
from benchmarks.scaling.layout import Array, Job
from benchmarks.scaling.simulation import Act, simulate
from benchmarks.scaling.timing import Machine
from benchmarks.scaling.wire import Part
from pydsm.core.stripes import block_size
from pydsm.mpi.homes import Homes, stripes_for

ROOT = Path(__file__).parents[2]
LONG = bool(os.environ.get("PYDSM_LONG"))
SAME = {"operations", "growth", "versions"}
"""Tables without times."""
A = Array(1 << 20, 8)


@pytest.mark.parametrize("counts", [(2, 2), (2, 1, 3), (15,) * 256])
@pytest.mark.parametrize(("rows", "row_bytes"), [(100, 8), (1 << 20, 8), (10_000_000, 8), (1 << 33, 8)])
def test_rows_have_the_homes_that_pydsm_gives_them(counts: tuple[int, ...], rows: int, row_bytes: int) -> None:
    array = Array(rows, row_bytes)
    job, homes = Job(counts, (array,)), Homes(stripes_for(rows, rows * row_bytes), counts)
    assert array.all_stripes == homes.stripes
    assert array.block == block_size(rows, homes.stripes)
    assert job.bounds(array) == homes.bounds
    for row in (0, rows // 3, rows - 1):
        assert job.home_of(array, row) == homes.node_of(row // array.block)


# -- events ---------------------------------------------------------------------------------


def test_a_server_at_random_arrivals_lets_wait_as_long_as_pollaczek_and_khinchine_say() -> None:
    service, utilisation = 10e-6, 0.7
    loop, draw = Loop(), random.Random(3)
    server = Station(loop)

    def arrivals():  # type: ignore[no-untyped-def]
        for _ in range(60_000):
            yield draw.expovariate(utilisation / service)
            server.serve(service, lambda: None)

    loop.start(arrivals())
    loop.run()
    assert server.busy / loop.now == pytest.approx(utilisation, rel=0.02)
    assert server.waited / server.served == pytest.approx(timing.waiting(utilisation, service), rel=0.05)


def test_a_gate_opens_with_its_last_knock_and_stays_open() -> None:
    loop, seen = Loop(), []
    gate = Gate(loop, 2)

    def waits(name: str, first: float):  # type: ignore[no-untyped-def]
        yield first
        yield gate
        seen.append((name, loop.now))

    for name, first in (("early", 0.0), ("late", 5.0)):
        loop.start(waits(name, first))
    for when in (1.0, 2.0):
        loop.at(when, gate.knock)
    loop.run()
    assert seen == [("early", 2.0), ("late", 5.0)]
    assert gate.is_open


# -- nobody else ------------------------------------------------------------------------------


def alone(job: Job, *acts: Act) -> list[list[Act]]:
    return [[] for _ in range(job.workers - 1)] + [list(acts)]


def test_one_worker_alone_takes_as_long_as_the_formula_says() -> None:
    job, machine = Job.of(64, 16, A), Machine()
    shown = simulate(job, machine, alone(job, Act("region", 0)))
    part = Part(1, 8)
    cost = model.region(job, A, {0: 1}, {0: part})
    wanted = machine.round_trip(cost.bytes["acquire"], cost.bytes["answer"]) + machine.inside + machine.overhead
    assert shown.mean("region") == pytest.approx(wanted, rel=1e-9)
    limits = timing.random_regions(job, machine, A, new=0)
    assert limits.alone == pytest.approx(0.75 * wanted + 0.25 * (machine.here + machine.inside), rel=1e-9)


@pytest.mark.parametrize("nodes", [2, 5, 16])
def test_an_atomic_operation_alone_takes_as_long_as_the_formula_says(nodes: int) -> None:
    small = Array(4096, 8)
    job, machine = Job.of(2 * nodes, 2, small), Machine()
    took = [simulate(job, machine, alone(job, Act("atomic", row))).mean("atomic") for row in (0, small.rows - 1)]
    mean = took[0] * (1 - 1 / nodes) + took[1] / nodes
    assert mean == pytest.approx(timing.atomics(job, machine, small).alone, rel=0.02)  # versions are not quite even


@pytest.mark.parametrize("nodes", [2, 5, 16])
def test_messages_and_bytes_of_a_worker_alone_are_those_of_the_model(nodes: int) -> None:
    job, me = Job.of(4 * nodes, 4, A, Array(300, 4096)), nodes - 1
    own = A.rows - 1
    for row, home in ((0, 0), (own, me)):
        shown = simulate(job, Machine(), alone(job, Act("region", row)))
        cost = model.region(job, A, {home: 1}, {home: Part(1, 8)})
        assert (shown.messages, shown.bytes) == (cost.messages, cost.bytes)
        shown = simulate(job, Machine(), alone(job, Act("atomic", row)))
        cost = model.atomic(job, A, home)
        assert (shown.messages, shown.bytes) == (cost.messages, cost.bytes)


def test_a_row_comes_with_the_lock_when_somebody_else_has_written_it_and_only_then() -> None:
    job = Job.of(6, 3, A)
    home_writes = [[Act("region", 0)], [], [Act("think", 1.0), Act("region", 0), Act("region", 0)], []]
    shown = simulate(job, Machine(), home_writes)
    new = model.region(job, A, {0: 1}, {0: Part(1, 8)}, new={0: 1})
    known = model.region(job, A, {0: 1}, {0: Part(1, 8)})
    assert shown.bytes == new.bytes + known.bytes


# -- everybody ----------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1, 2, 16])
def test_a_barrier_takes_the_messages_of_the_model_and_about_its_time(nodes: int) -> None:
    job, machine = Job.of(16 * nodes, 16, A), Machine()
    shown = simulate(job, machine, programs.barriers(job, 3))
    cost = model.barrier(job)
    assert shown.messages == Counter({kind: 3 * count for kind, count in cost.messages.items()})
    assert shown.bytes == Counter({kind: 3 * size for kind, size in cost.bytes.items()})
    if nodes > 1:
        assert shown.mean("barrier") == pytest.approx(sum(timing.barrier_seconds(job, machine).values()), rel=0.25)


@pytest.mark.parametrize("ranks", [32, 256])
def test_servers_that_are_always_busy_do_as_much_as_the_bound_says_and_no_more(ranks: int) -> None:
    job, machine = Job.of(ranks, 16, A), Machine()
    limits = timing.random_regions(job, machine, A, new=1)
    assert limits.bend() < job.workers, "this is about many workers a server"
    shown = simulate(job, machine, programs.uniform(job, 20))
    assert 0.6 * limits.rate() < shown.rate("region") < 1.02 * limits.rate()
    assert max(shown.busy) > 0.85


def test_workers_that_mostly_think_are_limited_by_nothing_else() -> None:
    job, machine, think = Job.of(64, 16, A), Machine(), 0.01
    limits = timing.random_regions(job, machine, A, new=1)
    assert limits.bend(think) > job.workers
    shown = simulate(job, machine, programs.uniform(job, 100, think))
    assert shown.rate("region") == pytest.approx(limits.rate(think), rel=0.05)
    # The operational law: what a server is busy with one update, whatever the order of messages.
    each = sum(shown.busy) * shown.seconds / shown.done["region"]
    assert each == pytest.approx(limits.busiest * job.nodes, rel=0.02)


def test_messages_wait_for_servers_as_long_as_at_random_arrivals_when_workers_think() -> None:
    job, machine, think = Job.of(256, 16, A), Machine(), 5e-4
    limits = timing.random_regions(job, machine, A, new=1)
    busy = limits.rate(think) * limits.busiest
    assert 0.4 < busy < 0.6
    shown = simulate(job, machine, programs.uniform(job, 60, think))
    assert shown.waited == pytest.approx(timing.waiting(busy, (machine.serve + machine.take) / 2), rel=0.2)


def test_one_row_that_all_want_is_had_by_one_after_the_other() -> None:
    job, machine = Job.of(256, 16, A), Machine()
    shown = simulate(job, machine, programs.hot(job, 5))
    limits = timing.hot_row(job, machine, A)
    assert shown.done["region"] == 5 * job.workers
    assert 0.7 * limits.rate() < shown.rate("region") < 1.1 * limits.rate()
    more = Job.of(512, 16, A)
    assert simulate(more, machine, programs.hot(more, 5)).rate("region") < 1.05 * shown.rate("region")


def test_wanted_rows_make_their_home_the_busiest() -> None:
    job, machine = Job.of(256, 16, A), Machine()
    uniform, zipf = (simulate(job, machine, make(job, 20)) for make in (programs.uniform, programs.zipf))
    assert zipf.rate("region") < 0.5 * uniform.rate("region")


def test_more_nodes_do_not_make_atomic_operations_faster() -> None:
    machine = Machine()
    small = Array(4096, 8)
    few, many = (Job.of(ranks, 4, small) for ranks in (64, 256))
    rates = [simulate(job, machine, programs.atomics(job, 2)).rate("atomic") for job in (few, many)]
    assert rates[1] < 1.2 * rates[0]
    for job, rate in zip((few, many), rates, strict=True):
        assert rate < 1.05 * timing.atomics(job, machine, small).rate()


def test_a_worker_that_does_not_come_to_a_barrier_is_said() -> None:
    job = Job.of(4, 2, A)
    with pytest.raises(ValueError, match="1 of 2 workers wait for ever"):
        simulate(job, Machine(), [[Act("barrier")], []])


# -- growth ---------------------------------------------------------------------------------------


def test_what_grows_with_the_square_is_said_by_the_formulas() -> None:
    one, two = (Job.of(ranks, 16, A) for ranks in (1024, 2048))
    for what in (model.barrier, model.run):
        assert what(two).all_messages == pytest.approx(4 * what(one).all_messages, rel=0.1)
    gathered = [model.allreduce(job).all_bytes - model.barrier(job).all_bytes for job in (one, two)]
    assert gathered[1] == pytest.approx(4 * gathered[0], rel=0.1)
    assert model.memory(two)["replicas"] == model.memory(one)["replicas"]
    versions = model.barrier(two).bytes["meet"] - two.nodes * wire.asked("meet", [])
    assert versions >= wire.VERSION * A.all_stripes * (two.nodes - 1)


# -- the page ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in tables.TABLES if LONG or name not in tables.SIMULATED])
def test_the_page_has_the_tables_as_they_are_computed(name: str) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert f"<!-- {name} -->" in page
    anew = command.written(page, Machine(), [name])
    assert anew == page, "python -m benchmarks.scaling --write docs/scaling.md"
    assert command.written(page, Machine(latency=1.0, compare=1.0), [name]) != page or name in SAME


def test_the_command_prints_tables_and_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "barriers", "--latency", "1"]) == 0
    slow = capsys.readouterr().out
    assert command.main(["--only", "barriers"]) == 0
    assert "| 4,096 | 131,072 |" in slow
    assert slow != capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "--plot" in capsys.readouterr().out


def test_all_figures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    monkeypatch.setattr(tables, "RANKS", (32, 64, 128))
    names = ("rates", "barrier", "saturation")
    assert command.main(["--only", "growth", "--plot", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {f"scaling-{name}.svg" for name in names}
