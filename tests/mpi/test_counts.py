"""What operations send, counted in small jobs, is what the model of `benchmarks.scaling` says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.scaling import counted
from tests.mpi.jobs import launcher, needs_mpi, start

LONG = pytest.mark.skipif(not os.environ.get("PYDSM_LONG"), reason="a longer form: PYDSM_LONG=1")
pytestmark = needs_mpi


@pytest.mark.parametrize(
    "nodes", ["0,1,2|3,4|5,6,7", pytest.param("0,1,2|3,4,5", marks=LONG), pytest.param("0,1|2,3|4,5|6,7", marks=LONG)]
)
def test_messages_round_trips_bytes_and_memory_are_what_the_model_says(nodes: str, tmp_path: Path) -> None:
    assert launcher()
    log = tmp_path / "log"
    with start(nodes, counted.PROGRAM, str(tmp_path), *counted.NAMES, log=log) as job:
        assert job.wait() == 0, job.output
    found = counted.read(job.output)
    assert counted.problems(found) == []
    assert set(counted.NAMES) <= set(found.found)
    simulated = counted.simulated(found)
    assert simulated.messages == found.found["program"]["messages"]
    assert simulated.done["barrier"] == counted.TURNS * sum(found.counts)
