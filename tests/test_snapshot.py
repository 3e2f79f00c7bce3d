"""What runs leave is written down as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm import snapshot


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_process", None)
    monkeypatch.setattr(snapshot, "_teams", iter(range(1, 100)))
    monkeypatch.setenv("PYDSM_SNAPSHOT", str(tmp_path))


@pytest.mark.parametrize("memory", ["coherent", "release"])
def test_each_run_leaves_its_arrays_and_results(memory: str, tmp_path: Path) -> None:
    with pydsm.Team(2, memory=memory) as team:
        A, B = team.array("A", 3, int), team.array("B b", (2, 2), [("x", ">i2"), ("y", "S3")])
        B["y"] = b"ab"
        for value in range(2):
            A[:] = value
            team.run(lambda worker: (worker.rank, np.arange(2), object()))
    found = snapshot.read_runs(str(tmp_path))
    assert list(found) == [(1, 1, 1), (1, 1, 2)]
    for value, run in enumerate(found.values()):
        assert run.memory == memory
        assert run.results == [f"({rank}, array([0, 1]), <object object at 0x...>)" for rank in range(2)]
        assert run.arrays["A"].tolist() == [value] * 3
        assert run.arrays["B b"].dtype == B.dtype
        assert run.arrays["B b"].tobytes() == np.array(B).tobytes()


def test_a_run_that_failed_has_no_results_but_arrays(tmp_path: Path) -> None:
    def program(worker: pydsm.Worker) -> None:
        worker["A"][0] = 7
        raise ZeroDivisionError

    with pydsm.Team(1) as team:
        team.array("A", 1)
        with pytest.raises(pydsm.WorkerError):
            team.run(program)
    (run,) = snapshot.read_runs(str(tmp_path)).values()
    assert run.results is None
    assert run.arrays["A"].tolist() == [7]


def test_a_team_is_told_from_the_next_one_and_so_is_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        for _ in range(2):
            with pydsm.Team(1) as team:
                team.run(lambda worker: worker.rank)
        monkeypatch.setattr(snapshot, "_process", None)
        monkeypatch.setattr(snapshot, "_teams", iter(range(1, 100)))
    assert list(snapshot.read_runs(str(tmp_path))) == [(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1)]


class _Shy:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize("result", [_Shy(), np.zeros(100_000), "x" * 100_000])
def test_every_result_has_a_text(result: Any) -> None:
    assert 0 < len(snapshot.text_of(result)) <= 1 << 16
