"""Schedules beside other observers: none of them waits for what only another worker can give."""

from __future__ import annotations

import pytest

import pydsm


@pytest.mark.parametrize("memory", ["coherent", "release", "entry"])
@pytest.mark.parametrize("check", [None, "predict"])
def test_atomic_operations_go_on_whatever_else_the_team_was_asked_for(memory: str, check: str | None) -> None:
    def program(worker: pydsm.Worker) -> None:
        A = worker["A"]
        for _ in range(5):
            A.fetch_add(0, 1)
            A.accumulate([0, 1], 1)

    with pydsm.Team(2, memory=memory, check=check, schedule=1) as team:
        A = team.array("A", 2, int)
        team.run(program)
        assert A.tolist() == [20, 10]
