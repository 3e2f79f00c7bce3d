from __future__ import annotations

import pickle

import pytest

from pydsm import lab
from pydsm.errors import PydsmError

SB = r"""DSM SB
"Each worker writes its own cell and reads the other's."
{ x=0; y=3; }   # the rest is 0
 P0     | P1             ;
 x = 1  | y = 1          ;
 r0 = y | r3 = x         ;
        | z = r3 + -2    ;
exists (0:r0=0 /\ ~(1:r3=0 \/ z=4))
"""


def test_a_test_is_read_as_it_is_written() -> None:
    test = lab.parse(SB)
    assert (test.name, test.doc) == ("SB", "Each worker writes its own cell and reads the other's.")
    assert (test.locations, test.initial) == (("x", "y", "z"), (0, 3, 0))
    assert test.registers == ("0:r0", "1:r3")
    assert [[step.text for step in program] for program in test.programs] == [
        ["x = 1", "r0 = y"],
        ["y = 1", "r3 = x", "z = r3 + -2"],
    ]
    assert [step.write for step in test.writes] == [0, 1, 2]
    assert test.question == "exists (0:r0=0 /\\ ~(1:r3=0 \\/ z=4))"
    assert test.labels == ("0:r0", "1:r3", "z")


def test_all_instructions_are_known() -> None:
    column = ["fence", "lock x", "unlock x", "r0 = fetch_add x 1", "fetch_add x 2", "r1 = swap x r0", "swap x 3"]
    column += ["store_release x 4 + r1", "r2 = load_acquire x", "barrier", "r3 = x", "x = r3"]
    test = lab.parse(
        'DSM all "" { }'.replace(' "', '\n"') + "P0;" + "".join(f"{step};" for step in column) + "forall (0:r0=0)"
    )
    ops = ["fence", "lock", "unlock", "fetch_add", "fetch_add", "swap", "swap", "store_release", "load_acquire"]
    assert [step.op for step in test.programs[0]] == [*ops, "barrier", "read", "write"]
    assert [step.register for step in test.programs[0]] == [-1, -1, -1, 0, -1, 1, -1, -1, 2, -1, 3, -1]


@pytest.mark.parametrize(
    ("condition", "values", "true"),
    [
        ("0:r0=1 /\\ x=2", (1, 2), True),
        ("0:r0=1 /\\ x=2", (1, 3), False),
        ("0:r0=9 \\/ x=2 /\\ 0:r0=1", (1, 2), True),
        ("(0:r0=1 \\/ x=5) /\\ x=2", (1, 3), False),
        ("~0:r0=1", (1, 2), False),
        ("~(0:r0=1 /\\ x=3)", (1, 2), True),
        ("~~x=-2", (1, -2), True),
    ],
)
def test_conditions_are_logic(condition: str, values: tuple[int, int], true: bool) -> None:
    test = lab.parse(f'DSM T\n"" {{}} P0; r0 = x; exists ({condition})')
    assert test.labels == ("0:r0", "x")[: 1 + ("x=" in condition)]
    outcome = test.outcome(values[: len(test.labels)])
    assert test.holds(outcome) is true
    again = lab.parse(f'DSM T\n"" {{}} P0; r0 = x; exists ({test.condition})')
    assert again.condition == test.condition


@pytest.mark.parametrize(
    ("quantifier", "seen", "asked", "validated"),
    [
        ("exists", [0, 1], [1], True),
        ("exists", [0], [], False),
        ("~exists", [0, 1], [1], False),
        ("~exists", [0], [], True),
        ("forall", [0, 1], [0], False),
        ("forall", [1], [], True),
    ],
)
def test_a_test_asks_about_outcomes(quantifier: str, seen: list[int], asked: list[int], validated: bool) -> None:
    test = lab.parse(f'DSM T\n"" {{}} P0; r0 = x; {quantifier} (0:r0=1)')
    outcomes = [test.outcome([value]) for value in seen]
    assert [outcome["0:r0"] for outcome in outcomes if test.asked(outcome)] == asked
    assert test.validated(outcomes) is validated


def body(text: str) -> str:
    return f'DSM T\n""\n{{ x=0; y=0; }}\n{text}'


MISTAKES = [
    ("", 1, 1, "a litmus test begins with a line as 'DSM SB', its name"),
    ("\n\n  X86 SB\n", 3, 3, "a litmus test begins with a line as 'DSM SB', its name"),
    ("DSM SB\n{}", 2, 1, "expected a sentence in quotes that says what the test is about, not '{'"),
    ('DSM SB\n""\n x=1', 3, 2, "expected '{' before the initial values, not 'x'"),
    ('DSM SB\n""\n{ x=1; x=2; }', 3, 8, "location 'x' has an initial value already"),
    ('DSM SB\n""\n{ x=1 y=2; }', 3, 7, "expected ';' between initial values, not 'y'"),
    ('DSM SB\n""\n{ r0=1; }', 3, 3, "expected a location, not 'r0'"),
    ('DSM SB\n""\n{ x=3000000000; }', 3, 5, "3000000000 does not fit: values have 32 bits and a sign"),
    ('DSM SB\n""\n{ x=?; }', 3, 5, "'?' begins no word of a litmus test"),
    (body("P1 ;"), 4, 1, "expected the head of a column, P0, not 'P1'"),
    (body("P0 | x ;"), 4, 6, "expected the head of a column, P1, not 'x'"),
    (body("P0 |"), 4, 5, "expected the head of a column, P1, not the end of the file"),
    (body("P0 ;\n x = ;"), 5, 6, "expected a number or a register, not ';'"),
    (body("P0 ;\n x 1 ;"), 5, 4, "expected '=' after 'x', not '1'"),
    (body("P0 ;\n 1 = x ;"), 5, 2, "expected an instruction, not '1'"),
    (body("P0 ;\n x = r0 ;"), 5, 6, "P0 has not written r0 yet"),
    (body("P0 ;\n r0 = x ;\n\t r0 = y ;"), 6, 3, "P0 has written r0 already: use a register for each result"),
    (body("P0 ;\n r0 = 1 ;"), 5, 7, "expected a location, not '1'"),
    (body("P0 ;\n r0 = fence ;"), 5, 7, "expected a location, not 'fence'"),
    (body("P0 ;\n load_acquire x ;"), 5, 2, "load_acquire gives a value: write 'r0 = load_acquire x'"),
    (body("P0 ;\n store_release 1 ;"), 5, 16, "expected a location, not '1'"),
    (body("P0 | P1 ;\n x = 1 ;"), 5, 8, "expected '|' before the column of P1, not ';'"),
    (body("P0 | P1 ;\n x = 1 | y = 1 | x = 2 ;"), 5, 16, "there is no column for P2: the head of the table has 2"),
    (body("P0 ;\n x = 1"), 5, 7, "expected ';' at the end of a row, not the end of the file"),
    (body("P0 ;\n lock x ;\n exists (x=0)"), 5, 2, "P0 never unlocks x"),
    (body("P0 ;\n unlock x ;\n exists (x=0)"), 5, 2, "P0 cannot unlock x: it has locked nothing"),
    (body("P0 ;\n lock x ; lock x ;\n exists (x=0)"), 5, 11, "P0 has locked x already"),
    (
        body("P0 ;\n lock x ; lock y ; unlock x ;\n exists (x=0)"),
        5,
        20,
        "P0 cannot unlock x: the last that it locked is y",
    ),
    (
        body("P0 ;\n lock y ; lock x ; \n exists (x=0)"),
        5,
        11,
        "a worker that holds several locks takes them in one order: here x before y",
    ),
    (
        body("P0 ;\n lock y ; barrier ; unlock y ;\n exists (x=0)"),
        5,
        11,
        "P0 holds y at a barrier: others may wait for it there",
    ),
    (
        body("P0 | P1 ;\n barrier | x = 1 ;\n exists (x=0)"),
        5,
        2,
        "every worker comes to the same number of barriers, but P0 to 1, P1 to 0",
    ),
    (body("P0 ;\n r0 = x ;\n ~forall (x=0)"), 6, 3, "expected 'exists' after '~', not 'forall'"),
    (body("P0 ;\n r0 = x ;\n exists (z=0)"), 6, 10, "there is no location 'z'; registers are named as in 0:r0"),
    (body("P0 ;\n r0 = x ;\n exists (1:r0=0)"), 6, 10, "there is no worker P1: the test has 1"),
    (body("P0 ;\n r0 = x ;\n exists (0:r1=0)"), 6, 12, "P0 writes no register r1"),
    (
        body("P0 ;\n r0 = x ;\n exists (0:r0=0"),
        6,
        16,
        "expected ')' after a condition in parentheses, not the end of the file",
    ),
    (body("P0 ;\n r0 = x ;\n exists (x=0) x"), 6, 15, "expected the end of the test after its condition, not 'x'"),
    (body("P0 ;\n r0 = x ;\n exists (x)"), 6, 11, "expected '=' after x, not ')'"),
]


def test_a_mistake_is_shown_with_its_line_and_column() -> None:
    for text, line, column, sentence in MISTAKES:
        with pytest.raises(lab.LitmusError) as caught:
            lab.parse(text, "my.litmus")
        told = str(caught.value).splitlines()
        assert told[0] == f"my.litmus, line {line}, column {column}: {sentence}"
        shown = text.splitlines()[line - 1] if text else ""
        assert told[1] == f"    {shown}"
        assert told[2].index("^") == 4 + column - 1
        assert caught.value.lineno == line
        assert (caught.value.filename, caught.value.offset, caught.value.text) == ("my.litmus", column, shown)


def test_a_mistake_is_a_value_error_that_travels() -> None:
    with pytest.raises(ValueError, match="begins with a line") as caught:
        lab.parse("")
    assert isinstance(caught.value, PydsmError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_caret_is_below_its_place_behind_a_tab() -> None:
    with pytest.raises(lab.LitmusError) as caught:
        lab.parse(body("P0 ;\n\tx 1 ;"))
    line, caret = str(caught.value).splitlines()[1:]
    assert caret[: line.index("1")].replace("^", "").strip(" ") == "\t"
    assert caret.index("^") == line.index("1")


def test_files_of_your_own_are_read(tmp_path) -> None:
    file = tmp_path / "mine.litmus"
    file.write_text(SB)
    assert lab.load(file).registers == lab.load(str(file)).registers == ("0:r0", "1:r3")
    file.write_text(SB.replace("fence", "").replace("x = 1", "x 1"))
    with pytest.raises(lab.LitmusError, match=f"{file}, line 5, column 4"):
        lab.load(file)


def test_the_tests_that_come_with_it_are_all_listed_and_well_made() -> None:
    from importlib import resources

    files = {entry.name for entry in (resources.files("pydsm.lab") / "tests").iterdir()}
    assert files == {f"{name}.litmus" for name in lab.names()} | {"order.txt"}
    assert len(set(lab.names())) == len(lab.names())
    for name in lab.names():
        test = lab.load(name)
        assert test.name == name
        assert test.doc.endswith(".") or test.doc.endswith("?")
        assert len(test.doc) <= 120


def test_an_unknown_test_or_model_is_told_with_those_there_are() -> None:
    with pytest.raises(
        KeyError, match=r"there is no litmus test 'BS'; there are SB, SB\+fence, .* or files \*\.litmus"
    ):
        lab.load("BS")
    with pytest.raises(KeyError, match=r"there is no memory model 'TSO'; there are sc, tso, pso, .* entry"):
        lab.outcomes("SB", "TSO")
    with pytest.raises(FileNotFoundError):
        lab.load("nowhere.litmus")
