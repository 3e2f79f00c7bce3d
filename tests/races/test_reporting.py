"""What is said of a race, to whom, and what is left out; and what a team pays that did not ask."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.core.events import Instrument, Observer
from pydsm.races.check import RaceCheck
from pydsm.races.options import RaceOptions, read_options
from pydsm.races.report import from_json, to_json
from pydsm.races.suppress import read_patterns
from tests.effort import LONG
from tests.races.programs import programs
from tests.races.running import lines_of, run

ROOT = Path(__file__).parents[2]


def _race(worker: Any) -> None:
    worker["A"][1] += 1


def _found(check: Any = "happens-before", work: Any = _race, **options: Any) -> tuple[Any, ...]:
    with pydsm.Team(2, check=check, **options) as team:
        team.array("A", 4, int)
        team.run(work)
        return team.races


# -- options -----------------------------------------------------------------------


def test_options_are_words_in_any_order() -> None:
    assert read_options("halt_on_error=1 strict exitcode=3") == RaceOptions("strict", halt_on_error=True, exitcode=3)
    assert read_options(True) == RaceOptions()
    asked = read_options("predict 'log_path=/tmp/a b' suppressions=known")
    assert asked.log_path == "/tmp/a b"
    assert asked.suppressions == os.path.abspath("known")
    assert read_options(asked.as_text()) == asked


@pytest.mark.parametrize("check", ["sometimes", "predict halt=1", "halt_on_error=yes", "exitcode=256", "exitcode=-1"])
def test_what_is_no_option_is_refused(check: str) -> None:
    with pytest.raises(ValueError, match=r"check is one of|no option 'halt'|halt_on_error is 0 or 1|exitcode is"):
        read_options(check)
    with pytest.raises(TypeError, match="check is one of"):
        read_options(3)


def test_the_environment_checks_teams_that_do_not_ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYDSM_RACE", f"predict log_path={tmp_path}/log")
    assert len(_found(None)) == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert _found("happens-before", lambda worker: None) == ()


def test_a_cluster_can_be_checked() -> None:
    with pydsm.Cluster(2, check="happens-before") as cluster:
        cluster.createShared("A", 4, int)
        cluster.runProcesses(lambda resource: resource["A"].__setitem__(2, 1))
        assert [race.rows for race in cluster.races] == [(2, 2)]


# -- reports -----------------------------------------------------------------------


def test_a_report_says_where_when_and_under_which_locks(capfd: pytest.CaptureFixture[str]) -> None:
    def work(worker: Any) -> None:
        A = worker["A"]
        if worker.rank == 0:
            with worker["lock"], A.locked([0, 2], shared=True):
                A[1] = 3
        else:
            A[0:3] = 1

    with pydsm.Team(2, check="happens-before") as team:
        team.array("A", 4, int)
        team.lock("lock")
        team.run(work)
        (race,) = team.races
    sides = {side.rank: side for side in (race.access, race.previous)}
    assert race.array == "A"
    assert race.rows == (1, 1)
    assert sides[0].kind == sides[1].kind == "write"
    assert sides[0].locks is not None
    assert sides[0].locks[1] == "rows 0:3 of 'A' (shared)"
    assert sides[0].source == "A[1] = 3"
    assert sides[0].place.function.endswith("work")
    assert sides[1].locks == ()
    said = capfd.readouterr().err
    assert said.count("WARNING: pydsm: data race on array 'A'") == 1
    assert said == race.text
    assert from_json(json.loads(json.dumps(to_json(race)))) == race
    assert pickle.loads(pickle.dumps(race)) == race


def test_a_race_is_reported_once_however_often_it_happens(capfd: pytest.CaptureFixture[str]) -> None:
    def work(worker: Any) -> None:
        for i in range(300):
            worker["A"][i % 4] += 1

    assert len(_found(work=work)) == 1
    assert capfd.readouterr().err.count("WARNING") == 1


def test_races_are_those_of_the_last_run() -> None:
    with pydsm.Team(2, check="happens-before") as team:
        team.array("A", 4, int)
        team.run(_race)
        assert len(team.races) == 1
        team.run(lambda worker: None)
        assert team.races == ()
        team.run(_race)
        assert len(team.races) == 1


def test_who_halts_at_the_first_race_raises_it() -> None:
    with pydsm.Team(2, check="happens-before halt_on_error=1") as team:
        team.array("A", 4, int)
        with pytest.raises(pydsm.WorkerError, match="data race on array 'A'") as raised:
            team.run(_race)
        assert isinstance(raised.value.__cause__, pydsm.RaceError)
        assert raised.value.__cause__.race == team.races[0]


def test_other_observers_are_told_of_accesses_before_and_of_races(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydsm import instruments

    monkeypatch.setitem(instruments._MODULES, "trace", "tests.races.test_reporting")
    with pydsm.Team(2, check="happens-before", trace="told") as team:
        A = team.array("A", 4, int)
        told = team.run(_told, A)
        assert told[0][:3] == [("read", 1, 0), ("write", 1, 0), ("write", "all", 5)]
        assert any(kind == "race" for _, part in enumerate(told) for kind, *_ in part)


def _told(worker: Any, A: Any) -> list[Any]:
    if worker.rank == 0:
        A[1] += 5
        A += 1
    worker.barrier()
    A[1] = 0
    worker.barrier()
    return list(_Listener.told)


class _Listener(Observer):
    told: list[Any] = []  # noqa: RUF012

    def accessed(self, array: Any, key: Any, *, write: bool) -> None:
        value = int(np.asarray(array)[1])
        self.told.append(("write" if write else "read", "all" if key is Ellipsis else key, value))

    def note(self, kind: str, details: dict[str, Any]) -> None:
        self.told.append((kind, str(details)))


class _Listening(Instrument):
    def observer(self, namespace: Any, rank: int, size: int) -> Observer:
        return _Listener()


def instrument(value: Any) -> Instrument:
    return _Listening()


# -- what is left out --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("race:array:A", 0),
        ("race:array:[A-C]", 0),
        ("race:array:B", 1),
        ("race:test_reporting.py:_race", 0),
        (f"race:{ROOT}/*:_r*", 0),
        ("race:test_reporting.py:other", 1),
        ("# race:array:A", 1),
    ],
)
def test_suppressed_races_are_not_reported(pattern: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"\n{pattern}\n")
    assert len(_found(f"happens-before suppressions={tmp_path}/known")) == count


def test_what_is_no_pattern_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("# fine\nrace:A\n")
    with pytest.raises(ValueError, match=r"known:2: 'race:A' is neither"):
        read_patterns(str(tmp_path / "known"))
    with pytest.raises(FileNotFoundError):
        pydsm.Team(2, check="suppressions=/nowhere/at/all")


def test_one_marked_side_is_enough() -> None:
    def work(worker: Any) -> None:
        if worker.rank == 0:
            with pydsm.racy("a test"):
                worker["A"][1] = 1
        else:
            worker["A"][1] = 2

    assert _found(work=work) == ()


def test_a_mark_wants_a_reason() -> None:
    with pytest.raises(TypeError, match="the reason why"), pydsm.racy(""):
        pass


# -- deaths, starts, memories --------------------------------------------------------


def test_what_a_dead_worker_did_comes_before_what_is_done_with_its_rows() -> None:
    def work(worker: Any) -> None:
        A, stage = worker["A"], worker["stage"]
        if worker.rank == 0:
            with A.locked(1):
                A[1] = 5
                stage.store_release(0, 1)
                os.kill(os.getpid(), signal.SIGKILL)
        stage.wait_until(0, "==", 1)
        with A.locked(1, recover=True):
            A[1] += 1

    with pydsm.Team(2, check="predict", on_death="continue") as team:
        team.array("A", 4, int)
        team.array("stage", 1, int)
        team.run(work)
        assert team.races == ()


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_workers_that_are_not_forked_are_checked_too(start: Any) -> None:
    assert [race.rows for race in _found(start=start)] == [(1, 1)]


@pytest.mark.parametrize("check", ["happens-before", "predict", "strict"])
@pytest.mark.parametrize("memory", ["release", "entry"])
def test_replicas_are_checked_as_one_memory_is(memory: str, check: str, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = {"locks", "flags", "views"} if LONG else {"flags"}
    for program in programs():
        if program.category in wanted and program.only in ("", check):
            found = {lines_of(race) for race in run(program, 2, check, memory=memory) if not race.possible}
            assert set(program.races) <= found if program.has_race else not found, program.name


# -- what it costs not to ask --------------------------------------------------------


def test_a_team_that_does_not_ask_has_the_classes_it_always_had() -> None:
    with pydsm.Team(2) as team:
        assert type(team.array("A", 4)) is pydsm.GlobalArray
        assert type(team.lock("lock")) is pydsm.Lock
        with pytest.raises(RuntimeError, match="not asked to look"):
            _ = team.races
    for name in ("__getitem__", "__setitem__", "__array_ufunc__", "__array_function__", "flat", "sum", "fill"):
        assert getattr(pydsm.GlobalArray, name) is getattr(np.ndarray, name)


def test_a_program_that_does_not_ask_loads_nothing_of_it() -> None:
    program = """
import sys, pydsm
def work(worker):
    with pydsm.racy("a test"):
        worker["A"][0] = 1
    return sorted(name for name in sys.modules if "race" in name)
with pydsm.Team(2) as team:
    team.array("A", 4)
    print(team.run(work)[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "native" not in done.stdout
    assert "detector" not in done.stdout


def test_the_instrument_travels_as_its_options() -> None:
    check = RaceCheck(read_options("predict"))
    assert pickle.loads(pickle.dumps(check)).options == check.options


# -- the command ---------------------------------------------------------------------

_PROGRAM = """
import sys, pydsm
def work(worker):
    {body}
with pydsm.Team(2) as team:
    team.array("A", 4)
    team.run(work)
sys.exit(int(sys.argv[1]))
"""


def _command(tmp_path: Path, body: str, *options: str, code: str = "3") -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(_PROGRAM.format(body=body))
    command = [sys.executable, "-m", "pydsm", "race", *options, str(tmp_path / "program.py"), code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_ends_with_66_if_there_was_a_race(tmp_path: Path) -> None:
    done = _command(tmp_path, "worker['A'][0] += 1", "--log", str(tmp_path / "log"))
    assert done.returncode == 66
    assert done.stderr.count("WARNING") == 1
    assert "pydsm: 1 data race and 0 possible in 1 run\n  array 'A'\n" in done.stderr
    assert json.loads((tmp_path / "log").read_text())["array"] == "A"
    assert _command(tmp_path, "worker['A'][0] += 1", "--exitcode", "7").returncode == 7


def test_the_command_ends_as_the_program_does_if_there_was_none(tmp_path: Path) -> None:
    done = _command(tmp_path, "worker['A'][worker.rank] += 1")
    assert done.returncode == 3
    said, hint = done.stderr.splitlines()
    assert said == "pydsm: no data race in 1 run"
    assert "--mode predict" in hint
    done = _command(tmp_path, "worker['A'][worker.rank] += 1", "--mode", "predict")
    assert done.stderr == "pydsm: no data race in 1 run\n"
    done = _command(tmp_path, "raise KeyError(5)")
    assert done.returncode == 1
    assert "KeyError: 5" in done.stderr


def test_the_command_predicts_and_halts(tmp_path: Path) -> None:
    body = "\n    with worker['A'].locked(0):\n        worker['A'][1] += 1"
    assert _command(tmp_path, body).returncode == 3
    done = _command(tmp_path, body, "--mode", "predict")
    assert done.returncode == 66
    assert "possible: array 'A'" in done.stderr
    done = _command(tmp_path, "worker['A'][0] += 1", "--halt")
    assert done.returncode == 66
    assert "RaceError" in done.stderr


def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    assert _command(tmp_path, "pass", "--suppressions", str(tmp_path / "none")).returncode == 2
    assert _command(tmp_path, "pass", "--exitcode", "1000").returncode == 2
    assert _command(tmp_path, "pass", "-n", "0").returncode == 2
    for log in (tmp_path / "none" / "log", tmp_path):
        done = _command(tmp_path, "worker['A'][0] += 1", "--log", str(log))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    missing = [sys.executable, "-m", "pydsm", "race", str(tmp_path / "missing.py")]
    assert subprocess.run(missing, capture_output=True).returncode == 2


def test_the_first_race_of_the_page_is_the_program_beside_it() -> None:
    page = (ROOT / "docs" / "races.md").read_text()
    assert f"```python\n{(ROOT / 'docs' / 'programs' / 'first_race.py').read_text()}```" in page
