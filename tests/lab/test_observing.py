from __future__ import annotations

import platform
from importlib.util import find_spec

import pytest

import pydsm
from pydsm import lab
from pydsm.lab import machine
from tests.effort import LONG
from tests.lab.programs import rendered

needs_replicas = pytest.mark.skipif(
    find_spec("pydsm.memory.release") is None, reason="this pydsm has no memory with replicas"
)
LAZY = [pytest.param(memory, marks=needs_replicas) for memory in ("release", "entry")]


@pytest.mark.parametrize("memory", ["machine", "coherent", *LAZY])
def test_nothing_is_observed_that_the_memory_s_model_forbids(memory: str) -> None:
    quick = ["SB", "SB+atomics", "MP+locks", "MP+lock-of-another-row", "WRC+rel-acq", "2+2W", "INC+locks", "MP+barrier"]
    for name in lab.names() if LONG else quick:
        histogram = lab.observe(name, 5000 if LONG else 200, memory=memory)
        assert histogram.forbidden == (), histogram


def test_each_round_is_counted_once_and_has_cells_of_its_own() -> None:
    test = rendered([["x = 1", "x = 2", "r0 = x"], ["y = 3", "r0 = y"]])
    for rounds in (1, 7):
        histogram = lab.observe(test, rounds, memory="coherent")
        assert {str(outcome): count for outcome, count in histogram.counts.items()} == {
            "0:r0=2; 1:r0=3; x=2; y=3;": rounds
        }


def test_many_rounds_come_in_batches_that_each_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine._BATCH, "machine", 4)
    test = rendered([["r0 = x", "x = r0 + 1"], ["r0 = y", "y = r0 + 2"]])
    histogram = lab.observe(test, 10)
    assert {str(outcome): count for outcome, count in histogram.counts.items()} == {"0:r0=0; 1:r0=0; x=1; y=2;": 10}


@pytest.mark.parametrize("memory", ["machine", "coherent", *LAZY])
def test_every_instruction_does_what_it_says(memory: str) -> None:
    column = ["lock x", "x = 5", "r0 = x", "unlock x", "r1 = fetch_add x 2", "r2 = swap x r1 + 100", "fence", "barrier"]
    column += ["r3 = load_acquire x", "store_release y 9", "fetch_add y 1", "swap x 4", "lock y", "unlock y"]
    test = rendered([column, ["barrier"]])
    (outcome,) = lab.observe(test, 3, memory=memory).counts
    assert str(outcome) == "0:r0=5; 0:r1=5; 0:r2=7; 0:r3=105; x=4; y=10;"


def test_initial_values_are_there() -> None:
    test = lab.parse('DSM T\n""\n{ y=-7; x=3; } P0 | P1 ; r0 = y | r0 = x ; exists (y=-7)')
    for memory in ("machine", "coherent"):
        (outcome,) = lab.observe(test, 5, memory=memory).counts
        assert str(outcome) == "0:r0=-7; 1:r0=3; y=-7;"


@needs_replicas
def test_a_lazy_memory_shows_what_entry_consistency_allows_and_one_machine_does_not() -> None:
    histogram = lab.observe("SB+locks-elsewhere", 50, memory="entry")
    assert histogram.positive == 50
    assert lab.observe("SB+locks-elsewhere", 50, memory="release").positive == 0


@pytest.mark.skipif(find_spec("pydsm.control") is None, reason="this pydsm has no controlled schedules")
def test_workers_whose_schedule_is_controlled_do_not_wait_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDSM_SCHEDULE", "1")
    histogram = lab.observe("SB", 5)
    assert (sum(histogram.counts.values()), histogram.forbidden) == (5, ())


def test_an_outcome_that_the_model_forbids_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    histogram = lab.observe("INC+fences", 300, model="tso")
    assert histogram.forbidden == ()
    test = rendered([["x = 1", "y = 1"], ["r0 = x"]])
    monkeypatch.setattr(machine, "_statement", lambda step: "pass" if step.op == "write" else "r0 = 9")
    broken = lab.observe(test, 4)
    assert list(map(str, broken.forbidden)) == ["1:r0=9; x=0; y=0;"]
    assert "FORBIDDEN by" in str(broken)
    assert "observed on machine: 1:r0=9; x=0; y=0;" in broken.verdict


def test_the_model_of_a_machine_is_that_of_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for processor, model in [("x86_64", "tso"), ("AMD64", "tso"), ("aarch64", "rmo"), ("riscv64", "rmo")]:
        monkeypatch.setattr(platform, "machine", lambda processor=processor: processor)
        assert lab.model_of("machine") == lab.model_of("coherent") == model
    assert (lab.model_of("release"), lab.model_of("entry")) == ("lrc", "entry")


@pytest.mark.parametrize(
    ("rounds", "memory", "model", "error", "sentence"),
    [
        (0, "machine", None, ValueError, "rounds is a number from 1, not 0"),
        ("9", "machine", None, TypeError, "rounds is a number of rounds, not '9'"),
        (9, "strong", None, ValueError, "memory is one of 'machine', 'coherent', 'release', 'entry', not 'strong'"),
        (9, "machine", "strong", pydsm.UnknownNameError, "there is no memory model 'strong'"),
    ],
)
def test_what_cannot_be_run_is_refused(
    rounds: object, memory: str, model: str | None, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        lab.observe("SB", rounds, memory=memory, model=model)  # type: ignore[arg-type]


def test_a_histogram_is_printed_as_litmus7_prints_it() -> None:
    test = lab.load("SB")
    counts = {test.outcome([0, 0]): 40, test.outcome([0, 1]): 499923, test.outcome([1, 0]): 37}
    histogram = lab.Histogram(test, "machine", "tso", counts, lab.outcomes(test, "tso"), 0.554)
    assert (
        str(histogram)
        == """\
Test SB Allowed
Histogram (3 states)
40      *>0:r0=0; 1:r0=0;
499923  :>0:r0=0; 1:r0=1;
37      :>0:r0=1; 1:r0=0;
Ok

Witnesses
Positive: 40, Negative: 499960
Condition exists (0:r0=0 /\\ 1:r0=0) is validated
Observation SB Sometimes 40 499960
Time SB 0.55

Observed on machine: 3 of the 4 states that tso allows, no other"""
    )


@pytest.mark.parametrize(
    ("quantifier", "kind", "counts", "tail"),
    [
        ("exists", "Allowed", [5, 0], "No|NOT validated|Never 0 5"),
        ("exists", "Allowed", [0, 5], "Ok|validated|Always 5 0"),
        ("forall", "Required", [2, 5], "No|NOT validated|Sometimes 5 2"),
        ("forall", "Required", [0, 5], "Ok|validated|Always 5 0"),
        ("~exists", "Forbidden", [2, 5], "No|NOT validated|Sometimes 5 2"),
        ("~exists", "Forbidden", [2, 0], "Ok|validated|Never 0 2"),
    ],
)
def test_a_histogram_says_whether_the_condition_is_validated(
    quantifier: str, kind: str, counts: list[int], tail: str
) -> None:
    test = lab.parse(f'DSM T\n"" {{}} P0; r0 = x; {quantifier} (0:r0=1)')
    seen = {test.outcome([value]): count for value, count in enumerate(counts) if count}
    lines = str(lab.Histogram(test, "machine", "sc", seen, frozenset(seen), 1.0)).splitlines()
    word, validated, observation = tail.split("|")
    assert lines[0] == f"Test T {kind}"
    assert word in lines
    assert f"Condition {quantifier} (0:r0=1) is {validated}" in lines
    assert f"Observation T {observation}" in lines
