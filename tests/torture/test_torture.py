"""The short form of ``python -m tests.torture``: every fault, counts only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.torture import sabotage
from tests.torture.__main__ import main
from tests.torture.catalog import FAULTS
from tests.torture.faults.interrupts import interrupts
from tests.torture.faults.kills import kills
from tests.torture.faults.reclaimers import reclaimers
from tests.torture.faults.stops import stops
from tests.torture.figures import Figures
from tests.torture.peers import run_cases
from tests.torture.processes import sweep_temporaries
from tests.torture.settings import Settings

PATIENCE = 20.0
"""Seconds; a busy machine is no bug."""


@pytest.fixture(scope="module", autouse=True)
def _temporaries_are_swept() -> Iterator[None]:
    """A kill in the midst of ``sem_open`` leaves a name of the C library's own."""
    with sweep_temporaries():
        yield


def nothing_is_wrong(figures: Figures) -> bool:
    return not figures.wrong() or pytest.fail(f"{figures.wrong()}\n" + "\n".join(figures.problems), pytrace=False)


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("kills", 100),
        ("survivors", 8),
        ("abort", 12),
        ("exits", 20),
        ("parent", 5),
        ("everything", 15),
        ("stops", 15),
        ("interrupts", 800),
        ("crowd", 64),
        ("reclaimers", 25),
    ],
)
def test_a_fault_costs_nothing_but_time(fault: str, count: int) -> None:
    figures = FAULTS[fault].inject(Settings(count, seconds=1.0, seed=1, patience=PATIENCE))
    assert figures.injected >= count
    assert nothing_is_wrong(figures)


@pytest.mark.parametrize("broken", [sabotage.without_exclusion, sabotage.without_undo, sabotage.everybody_is_dead])
def test_a_broken_protection_is_found_out(broken: Callable[[], None]) -> None:
    """The harness is not blind."""
    figures = kills(Settings(1000, seed=1, patience=PATIENCE), broken, until_wrong=True)  # ends with the first
    assert figures.lost + figures.invented + figures.torn + figures.violations > 0


def test_holders_that_are_robbed_while_they_are_stopped_are_found() -> None:
    assert stops(Settings(100, seed=1, patience=PATIENCE), sabotage.everybody_is_dead).violations > 0


def test_regions_that_leak_when_interrupted_are_found() -> None:
    assert interrupts(Settings(300, seed=1, patience=PATIENCE), sabotage.regions_in_python).violations > 0


def test_names_that_are_stolen_from_the_living_are_found() -> None:
    assert reclaimers(Settings(20, seed=1, patience=PATIENCE), sabotage.stale_whatever_lives).violations > 0


def test_kills_hit_workers_inside_regions() -> None:
    """Otherwise nothing is tested: some of the dead held rows, under undo and without."""
    figures = kills(Settings(60, seed=2, patience=PATIENCE))
    assert figures.notes["taken over"] > 0
    assert figures.notes["unknown, found out"] > 0
    assert nothing_is_wrong(figures)


def test_the_driver_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert main(["--faults", "stops", "--kills", "10", "--seed", "3", "--patience", "20", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["seed"] == 3
    assert [fault["fault"] for fault in found["faults"]] == ["stops"]
    assert "stops" in capsys.readouterr().out


def test_the_driver_names_the_faults_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--faults", "floods"])
    assert "there is no fault 'floods'; there are kills, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("filelock", "goes on with torn data, told nothing"),
        ("executor", "BrokenProcessPool: "),
        ("pydsm-lock", "OwnerDiedError: "),
        ("pydsm-undo", "goes on with whole data, told of pid "),
        ("pydsm-run-abort", "WorkerDiedError: worker 2 was killed by SIGKILL"),
        ("pydsm-run-continue", "goes on: [0, 1, 'WorkerDiedError', 9]"),
    ],
)
def test_peers_do_what_is_said_of_them(case: str, outcome: str) -> None:
    (found,) = run_cases([case])
    if found.outcome.startswith("skipped"):
        pytest.skip(found.outcome)
    assert found.outcome.startswith(outcome)
