from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydsm import lab
from pydsm.lab.explorer import explore
from tests.lab.axioms import HARDWARE, VIEWS
from tests.lab.programs import any_programs, plain_programs, rendered
from tests.lab.published import expected


@pytest.mark.parametrize("model", lab.MODELS)
def test_the_model_allows_what_is_published_and_nothing_else(model: str) -> None:
    assert lab.matrix(models=[model]) == {name: {model: row[model]} for name, row in expected().items()}


@pytest.mark.parametrize("model", HARDWARE)
@given(plain_programs())
def test_a_machine_has_exactly_the_outcomes_of_its_axioms(model: str, test: lab.Test) -> None:
    assert explore(lab.MODELS[model](test)) == HARDWARE[model](test)


@pytest.mark.parametrize("model", HARDWARE)
@settings(max_examples=15)
@given(plain_programs(workers=3, steps=2))
def test_a_machine_with_three_workers_has_exactly_the_outcomes_of_its_axioms(model: str, test: lab.Test) -> None:
    assert explore(lab.MODELS[model](test)) == HARDWARE[model](test)


@pytest.mark.parametrize("model", VIEWS)
@given(plain_programs(fences=False))
def test_replicas_show_exactly_what_the_views_of_the_definition_do(model: str, test: lab.Test) -> None:
    assert explore(lab.MODELS[model](test)) == VIEWS[model](test)


@pytest.mark.parametrize("model", VIEWS)
@settings(max_examples=20)
@given(plain_programs(workers=3, steps=2, fences=False))
def test_three_replicas_show_exactly_what_the_views_of_the_definition_do(model: str, test: lab.Test) -> None:
    assert explore(lab.MODELS[model](test)) == VIEWS[model](test)


@pytest.mark.parametrize("stronger_to_weaker", ["sc tso pso rmo rmo9", "sc causal pram slow"])
@given(test=plain_programs() | any_programs())
def test_a_weaker_model_allows_all_that_a_stronger_one_does(stronger_to_weaker: str, test: lab.Test) -> None:
    sets = [explore(lab.MODELS[model](test)) for model in stronger_to_weaker.split()]
    assert all(few <= many for few, many in pairwise(sets))


@st.composite
def locked_programs(draw: st.DrawFn) -> lab.Test:
    """Draw programs whose every access is under the lock of its row."""
    columns = []
    for worker in range(2):
        column: list[str] = []
        for place in range(draw(st.integers(1, 2))):
            x = draw(st.sampled_from("xy"))
            body = draw(
                st.sampled_from(
                    [[f"{x} = {worker + 1}"], [f"r{place} = {x}"], [f"r{place} = {x}", f"{x} = r{place} + 1"]]
                )
            )
            column += [f"lock {x}", *body, f"unlock {x}"]
        columns.append(column)
    return rendered(columns)


@pytest.mark.parametrize("model", lab.MODELS)
@given(test=locked_programs())
@settings(max_examples=40)
def test_a_program_without_races_behaves_as_on_one_memory_in_every_model(model: str, test: lab.Test) -> None:
    assert explore(lab.MODELS[model](test)) == explore(lab.MODELS["sc"](test))


@pytest.mark.parametrize("model", lab.MODELS)
def test_a_barrier_makes_every_model_one_memory(model: str) -> None:
    test = rendered(
        [["x = 1", "barrier", "r0 = y", "barrier", "x = r0 + 1"], ["y = 2", "barrier", "r0 = x", "barrier", "r1 = y"]]
    )
    (outcome,) = lab.outcomes(test, model)
    assert str(outcome) == "0:r0=2; 1:r0=1; 1:r1=2; x=3; y=2;"


@pytest.mark.parametrize("model", lab.MODELS)
def test_atomic_operations_lose_nothing_beside_each_other(model: str) -> None:
    test = rendered([["fetch_add x 1", "r0 = fetch_add y 2"], ["fetch_add y 3", "r0 = swap x 7", "store_release x 8"]])
    assert lab.outcomes(test, model) == lab.outcomes(test, "sc")


@pytest.mark.parametrize("model", lab.MODELS)
def test_a_lock_held_around_everything_leaves_two_outcomes(model: str) -> None:
    test = rendered(
        [
            ["lock x", "lock y", "x = 1", "y = 1", "unlock y", "unlock x"],
            ["lock x", "lock y", "r0 = y", "r1 = x", "unlock y", "unlock x"],
        ],
        "exists (1:r0=0)",
    )
    assert sorted(map(str, lab.outcomes(test, model))) == ["1:r0=0; 1:r1=0;", "1:r0=1; 1:r1=1;"]


def test_a_lazy_memory_shows_the_writes_of_a_worker_that_ended_to_a_later_fence() -> None:
    test = rendered([["x = 1"], ["fence", "r0 = x"]])
    assert {outcome["1:r0"] for outcome in lab.outcomes(test, "lrc")} == {0, 1}


def test_a_lazy_memory_shows_nothing_before_an_acquire() -> None:
    test = rendered([["x = 1"], ["r0 = x"]])
    assert {outcome["1:r0"] for outcome in lab.outcomes(test, "lrc")} == {0}
    assert {outcome["1:r0"] for outcome in lab.outcomes(test, "entry")} == {0}


def test_others_may_come_between_the_steps_of_an_atomic_operation_of_a_lazy_memory() -> None:
    test = rendered([["x = 1", "fetch_add y 1"], ["r0 = load_acquire y", "r1 = x"]])
    assert any(o["1:r0"] == 0 and o["1:r1"] == 1 for o in lab.outcomes(test, "lrc"))


def test_every_model_says_what_it_is_and_where_it_comes_from() -> None:
    for name, model in lab.MODELS.items():
        assert model.name == name
        assert model.title
        assert any(char.isdigit() for char in model.source)
