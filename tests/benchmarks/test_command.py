"""``python -m benchmarks`` runs and writes its files; needs what the bench extra installs."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.figure import Figure, Series
from benchmarks.measure import Comparison, Spread, Target
from benchmarks.section import Section

for package in ("rich", "fasteners", "matplotlib"):
    pytest.importorskip(package, reason="the bench extra is not installed")
plots = pytest.importorskip("benchmarks.plots")
command = pytest.importorskip("benchmarks.__main__")
GROUPS = command.GROUPS

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(whole, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=60)


def test_a_small_group_runs_and_its_page_can_be_written_anew(tmp_path: Path) -> None:
    done = run("--quick", "--only", "locks", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "results.json", "targets.png"}
    assert "with A.locked(i): pass" in done.stdout
    page = (tmp_path / "README.md").read_text()
    assert "| with A.locked(i): pass | multiprocessing.Lock |" in page
    assert "![All targets](targets.png)" in page
    assert len(json.loads((tmp_path / "results.json").read_text())["sections"]) == 1

    (tmp_path / "README.md").unlink()
    done = run("--render", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "README.md").read_text() == page


def test_a_page_is_the_same_when_it_is_written_anew_even_if_a_number_lies_between_two_roundings(tmp_path: Path) -> None:
    between = 1.554999999e-7  # 155 ns as it was measured, 156 ns with the six digits that are kept
    made = Section("x", comparisons=[Comparison("a", "b", "time", [between], [between])])
    command.write(str(tmp_path), [made], {"cpu": "one"})
    page = (tmp_path / "README.md").read_text()
    command.main(["--render", str(tmp_path)])
    assert (tmp_path / "README.md").read_text() == page


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_has_a_title_and_rows(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.TITLE
    assert callable(module.rows)


def figure(kind: str = "lines", cost: str = "time") -> Figure:
    points = [Spread(1e-6, 2e-6, 3e-6), Spread(1e-3, 2e-3, 3e-3)]
    series = [Series(name, [0, 1], points, role) for name, role in (("a", "pydsm"), ("b", "peer"), ("c", "limit"))]
    return Figure("it", "What is seen", "n", "y", cost, series, kind, ["first", "second"], False, ("goal", 1e-4))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "cost"), [("lines", "time"), ("lines", "share"), ("rows", "time")])
def test_a_figure_becomes_a_small_picture_and_always_the_same(tmp_path: Path, kind: str, cost: str) -> None:
    assert plots.draw([Section("x", figures=[figure(kind, cost)])], tmp_path) == {"it": "it.png"}
    first = (tmp_path / "it.png").read_bytes()
    plots.draw([Section("x", figures=[figure(kind, cost)])], tmp_path)
    assert first == (tmp_path / "it.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert len(first) < 100_000


def test_every_series_keeps_its_colour_in_the_file(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    points = [Spread(1e-6, 2e-6, 3e-6), Spread(1e-3, 2e-3, 3e-3)]
    series = [Series("ours", [0, 1], points, "pydsm"), *[Series(f"{n}", [0, 2 + n], points) for n in range(5)]]
    plots.draw([Section("x", figures=[Figure("it", "t", "n", "y", "time", series, is_log=False)])], tmp_path)
    pixels = np.asarray(image.open(tmp_path / "it.png").convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ("0072B2", "D55E00", "009E73", "CC79A7", "E69F00", "56B4E9"):
        assert np.abs(pixels - list(bytes.fromhex(colour))).sum(axis=1).min() < 12, colour


@pytest.mark.parametrize(("target", "gain"), [(Target(0.5), (1, 2, 4)), (Target(0.5, at_least=True), (0.25, 0.5, 1))])
def test_a_gain_is_how_much_better_than_the_target_a_row_is(target: Target, gain: tuple[float, ...]) -> None:
    row = Comparison("a", "b", "time", [0.125, 0.125, 0.25, 0.5, 0.5], [1.0] * 5, target)
    assert plots.gain(row) == gain


def test_targets_are_drawn_only_where_there_are_some(tmp_path: Path) -> None:
    row = Comparison("a", "b", "time", [1.0], [2.0], Target(0.6))
    assert plots.draw([Section("x", comparisons=[row])], tmp_path) == {"targets": "targets.png"}
    assert plots.draw([Section("x", comparisons=[Comparison("a", "b", "time", [1.0], [2.0])])], tmp_path) == {}
