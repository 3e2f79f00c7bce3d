from __future__ import annotations

import pytest
from hypothesis import given, settings

from pydsm import lab
from pydsm.lab import explorer
from pydsm.lab.models.base import Model, State
from tests.lab.programs import any_programs


def every_path(model: Model, state: State) -> set[lab.Outcome]:
    """Return the outcomes of all paths from a state, with no memory of what was seen."""
    if model.is_over(state):
        registers = [value for value in state.registers if value is not None]
        finals = [[cells[x] for x in model.test.finals] for cells in model.finals(state.memory)]
        return {model.test.outcome(registers + last) for last in finals}
    return set().union(*(every_path(model, after) for _, after in model.steps(state)))


@pytest.mark.parametrize("model", lab.MODELS)
@settings(max_examples=25)
@given(test=any_programs())
def test_to_visit_each_state_once_loses_no_outcome(model: str, test: lab.Test) -> None:
    machine = lab.MODELS[model](test)
    assert explorer.explore(machine) == every_path(machine, machine.start())


@pytest.mark.parametrize("model", lab.MODELS)
def test_every_outcome_has_a_witness_that_ends_with_it_and_no_other_has(model: str) -> None:
    for name in ("SB", "INC+locks", "MP+rel-acq", "2+2W", "MP+barrier", "INC+fences"):
        test = lab.load(name)
        for outcome in lab.outcomes(name, model):
            found = lab.witness(name, model, outcome)
            assert found is not None
            assert found.outcome == outcome
            assert {label: outcome[label] for label in test.registers} == dict(found.steps[-1].registers)
        impossible = test.outcome([99] * len(test.labels))
        assert lab.witness(name, model, impossible) is None


@pytest.mark.parametrize("model", lab.MODELS)
def test_no_test_gets_stuck(model: str) -> None:
    for name in lab.names():
        machine = lab.MODELS[model](lab.load(name))
        seen, todo = set(), [machine.start()]
        while todo:
            state = todo.pop()
            if state in seen or machine.is_over(state):
                continue
            seen.add(state)
            after = [state for _, state in machine.steps(state)]
            assert after, f"{name} is stuck in {state}"
            todo += after


def test_a_test_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "_MOST_STATES", 10)
    with pytest.raises(RuntimeError, match="test 'IRIW' has more than 10 states under pram"):
        explorer.explore(lab.MODELS["pram"](lab.load("IRIW")))


def test_a_witness_shows_each_step_and_what_it_changed() -> None:
    shown = str(lab.witness("MP", "pso"))
    assert shown.splitlines()[0] == "MP under pso ends with 1:r0=1; 1:r1=0;"
    assert (
        "P0   its y = 1 leaves the store buffer\n          memory x=0 y=1\n          buffers P0 [x = 1] P1 []" in shown
    )
    assert "P1   r0 = y   -> r0 is 1" in shown


def test_a_witness_is_as_short_as_can_be() -> None:
    found = lab.witness("SB", "sc", lab.load("SB").outcome([0, 1]))
    assert found is not None
    assert [step.what for step in found.steps] == ["x = 1", "r0 = y", "y = 1", "r0 = x"]


def test_a_barrier_is_a_step_of_all() -> None:
    found = lab.witness("MP+barrier", "sc", lab.load("MP+barrier").outcome([1]))
    assert found is not None
    assert "2. all  barrier" in str(found)
    assert found.as_dict()["steps"][1]["who"] == "all"
