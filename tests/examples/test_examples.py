"""Every script in examples/ runs, finds its result right, and would say so if it were wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import LONG

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL = {
    "vec_add": "--size 1001",
    "mat_mult": "--size 31",
    "find_primes": "--limit 5003 --piece 100",
    "distances": "--points 41",
    "histogram": "--size 16",
    "k_means": "--points 400 --clusters 4 --rounds 5",
    "jacobi": "--size 21 --sweeps 25",
    "page_rank": "--pages 90 --rounds 5",
    "hogwild": "--samples 400 --features 30",
    "mandelbrot": "--rows 30 --steps 20",
    "survive_kills": "--accounts 5 --transfers 100",
    "shortest_paths": "--places 60 --roads 300",
    "ring_buffer": "--items 60 --places 4",
}

WORK = {  # what the workers of each script run
    "vec_add": "add",
    "mat_mult": "multiply",
    "find_primes": "find",
    "distances": "measure",
    "histogram": "count",
    "k_means": "cluster",
    "jacobi": "spread",
    "page_rank": "rank_pages",
    "hogwild": "train",
    "mandelbrot": "draw",
    "survive_kills": "transfer",
    "shortest_paths": "relax",
    "ring_buffer": "work",
}

WHERE = [("coherent", 3), ("release", 2), ("entry", 3)]
if LONG:
    WHERE += [("coherent", 2), ("release", 3), ("entry", 2)]


def run(*command: str, memory: str = "coherent") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES), "PYDSM_MEMORY": memory}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60)


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


def test_every_script_is_tested_and_listed() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    readme = (EXAMPLES / "README.md").read_text()
    assert scripts == set(SMALL) == set(WORK)
    assert all(f"`python examples/{script}.py" in readme for script in scripts)


@pytest.mark.parametrize(("memory", "workers"), WHERE)
@pytest.mark.parametrize("script", SMALL)
def test_script_finds_its_result_right_on_every_memory(script: str, memory: str, workers: int) -> None:
    program = str(EXAMPLES / f"{script}.py")
    result = run(program, *SMALL[script].split(), "--workers", str(workers), memory=memory)
    assert result.stderr == ""
    assert result.returncode == 0
    assert last_line(result).startswith(f"{script}: ")
    assert last_line(result).endswith(": True")
    assert f"{workers} workers" in last_line(result)


@pytest.mark.parametrize("script", SMALL)
def test_script_fails_if_its_workers_do_nothing(script: str) -> None:
    program = f"import sys, {script} as script; script.{WORK[script]} = lambda *args: None; sys.exit(script.main())"
    result = run("-c", program, *SMALL[script].split(), "--workers", "2")
    assert result.stderr == ""
    assert result.returncode == 1
    assert last_line(result).endswith(": False")


def test_histogram_shows_its_progress() -> None:
    pytest.importorskip("tqdm")
    result = run(str(EXAMPLES / "histogram.py"), "--size", "20", "--workers", "2", "--progress")
    assert result.returncode == 0
    assert "20/20" in result.stderr
