from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pydsm import lab
from pydsm.cli import main
from pydsm.lab import machine, report

ROOT = Path(__file__).parent.parent.parent


def lines(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    assert main(["lab", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def test_all_tests_are_listed_with_their_sentence_and_all_models(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys)
    assert all(len(line) <= 80 for line in shown)
    text = " ".join(" ".join(shown).split())
    for name in lab.names():
        assert f"{name} {lab.load(name).doc}" in text
    for name, model in lab.MODELS.items():
        assert f"{name} {model.title}: {model.source}" in text


def test_the_matrix_says_what_each_model_allows(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys)
    head = next(number for number, line in enumerate(shown) if line.split()[:2] == ["sc", "tso"])
    assert shown[head].split() == list(lab.MODELS)
    rows = {line.split()[0]: line.split()[1:] for line in shown[head + 1 :]}
    assert rows["MP"] == ["-", "-", "A", "A", "A", "-", "-", "A", "-", "-"]
    assert list(rows) == list(lab.names())


def test_one_test_is_shown_with_all_outcomes_allowed_and_observed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, "SB+atomics", "--memory", "coherent")
    assert shown[0].startswith("SB+atomics: Atomic operations happen in one order")
    assert any("r0 = load_acquire y | r0 = load_acquire x ;" in line for line in shown)
    rows = [line.split() for line in shown if line.endswith(("; all", ";  all"))]
    assert [row[1:] for row in rows] == [
        ["0:r0=0;", "1:r0=1;", "all"],
        ["0:r0=1;", "1:r0=0;", "all"],
        ["0:r0=1;", "1:r0=1;", "all"],
    ]
    assert sum(int(row[0]) for row in rows) == 10_000
    assert shown[-1].startswith("Observed on coherent: ")


def test_counts_of_a_test_are_those_that_were_observed() -> None:
    test = lab.load("SB")
    seen = lab.Histogram(
        test, "machine", "tso", {test.outcome([0, 0]): 3, test.outcome([1, 0]): 8}, lab.outcomes(test, "tso"), 1.0
    )
    allowed = {model: lab.outcomes(test, model) for model in lab.MODELS}
    assert report.show_outcomes(test, allowed, seen).splitlines() == [
        " observed    outcome          allowed by",
        "        3 *> 0:r0=0; 1:r0=0;  all but sc",
        "        0    0:r0=0; 1:r0=1;  all but lrc entry",
        "        8    0:r0=1; 1:r0=0;  all but lrc entry",
        "        0    0:r0=1; 1:r0=1;  all but lrc entry",
    ]


def test_tables_of_outcomes_fit_80_columns() -> None:
    for name in lab.names():
        test = lab.load(name)
        allowed = {model: lab.outcomes(test, model) for model in lab.MODELS}
        assert all(len(line) <= 80 for line in report.show_outcomes(test, allowed, None).splitlines())


def test_an_outcome_that_no_model_allows_is_in_the_table() -> None:
    test = lab.load("SB")
    seen = lab.Histogram(test, "machine", "tso", {test.outcome([7, 7]): 1}, frozenset(), 1.0)
    assert "        1    0:r0=7; 1:r0=7;  none" in report.show_outcomes(test, {"sc": frozenset()}, seen)


def test_a_run_is_reported_as_by_litmus7(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, "MP+locks", "--run", "50")
    assert shown[0] == "Test MP+locks Allowed"
    assert "Positive: 0, Negative: 50" in shown
    assert "Condition exists (1:r0=1 /\\ 1:r1=0) is NOT validated" in shown
    assert "Observation MP+locks Never 0 50" in shown


def test_all_tests_are_run_if_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "names", lambda: ("SB", "LB"))
    shown = lines(capsys, "--run", "20", "--memory", "coherent")
    assert [line.split()[:2] for line in shown[:2]] == [["Observation", "SB"], ["Observation", "LB"]]
    assert shown[2] == "2 tests on coherent: 0 with outcomes that are forbidden"


def test_a_forbidden_outcome_gives_the_exit_code_1_everywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_expression", lambda value: "5")
    for arguments in (["CoWW"], ["CoWW", "--run", "10"], ["CoWW", "--run", "10", "--json"], ["CoWW", "--json"]):
        assert main(["lab", *arguments]) == 1
        assert "x=5" in capsys.readouterr().out or "--json" in arguments
    monkeypatch.setattr(lab, "names", lambda: ("CoWW",))
    shown = lines(capsys, "--run", "10", code=1)
    assert shown[1] == f"FORBIDDEN by {lab.model_of('machine')}, observed on machine: x=5;"
    assert shown[2] == "1 tests on machine: 1 with outcomes that are forbidden"


def test_a_witness_is_printed_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, "SB", "--model", "tso", "--witness") == str(lab.witness("SB", "tso")).splitlines()
    (sentence,) = lines(capsys, "LB", "--model", "pram", "--witness")
    assert sentence.startswith("pram forbids it: none of the 3 outcomes of LB is as it asks, exists (0:r0=1 /\\ ")
    assert main(["lab", "SB", "--model", "pram", "--witness", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == {"0:r0": 0, "1:r0": 0}
    assert told["steps"][0] == {
        "who": "P0",
        "what": "x = 1",
        "memory": ["replica of P0: x=1 y=0", "replica of P1: x=0 y=0"],
        "registers": {},
    }


def test_a_file_of_your_own_is_a_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.litmus"
    file.write_text('DSM mine\n"Mine."\n{ }\n P0 | P1 ;\n x = 1 | r0 = x ;\nexists (1:r0=1)\n')
    assert lines(capsys, str(file), "--run", "5")[0] == "Test mine Allowed"
    assert lines(capsys, str(file), "--model", "sc", "--witness")[0] == "mine under sc ends with 1:r0=1;"
    file.write_text(file.read_text().replace("x = 1", "x : 1"))
    assert main(["lab", str(file)]) == 1
    told = capsys.readouterr().err
    assert (
        told == f"pydsm: {file}, line 5, column 4: expected '=' after 'x', not ':'\n     x : 1 | r0 = x ;\n       ^\n"
    )


def test_everything_can_be_had_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lab", "--json", "--model", "tso"])
    told = json.loads(capsys.readouterr().out)
    assert told["tests"]["SB"] == {"doc": lab.load("SB").doc, "allowed": {"tso": True}}
    assert list(told["models"]) == ["tso"]
    main(["lab", "MP+barrier", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["allowed"]["entry"] == [{"1:r0": 1}]
    assert told["observed"]["states"] == [{"outcome": {"1:r0": 1}, "count": 10_000, "allowed": True}]
    main(["lab", "MP+barrier", "--run", "3", "--json"])
    assert json.loads(capsys.readouterr().out)["positive"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["BS"], 1, "pydsm: there is no litmus test 'BS'; there are SB, SB+fence, "),
        (["SB", "--model", "x"], 1, "pydsm: there is no memory model 'x'; there are sc, tso, "),
        (["--model", "x", "--run", "5"], 1, "pydsm: there is no memory model 'x'; there are sc, tso, "),
        (["no/where.litmus"], 2, "pydsm: there is no file 'no/where.litmus'"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", *arguments]) == code
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["SB", "--witness"], "--witness needs a test and a --model"),
        (["--model", "tso", "--witness"], "--witness needs a test and a --model"),
        (["SB", "--run", "0"], "a number of rounds from 1, not '0'"),
        (["SB", "--memory", "strong"], "invalid choice: 'strong'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["lab", *arguments])
    assert sentence in capsys.readouterr().err


def test_the_command_offers_the_memories_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["lab", "--help"])
    assert f"{{{','.join(lab.MEMORIES)}}}" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["import pydsm", "import pydsm.cli; pydsm.cli.main(['lab', '--help'])"])
def test_nothing_imports_the_lab_that_does_not_need_it(program: str) -> None:
    code = f"import sys\ntry:\n    exec({program!r})\nexcept SystemExit: pass\n"
    code += "print([name for name in sys.modules if name.startswith('pydsm.lab')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_tests_travel_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=True)
    built = {file.name for file in (tmp_path / "pydsm" / "lab" / "tests").iterdir()}
    assert built == {file.name for file in (ROOT / "pydsm" / "lab" / "tests").iterdir()}
    assert "SB.litmus" in built


def test_the_table_of_the_documentation_is_what_is_computed() -> None:
    page = (ROOT / "docs" / "lab.md").read_text()
    table = page[page.index("| test | sc |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    head, _, *body = rows
    assert head[1:] == list(lab.MODELS)
    computed = lab.matrix()
    assert {row[0]: row[1:] for row in body} == {
        name: ["A" if allowed else "" for allowed in row.values()] for name, row in computed.items()
    }
