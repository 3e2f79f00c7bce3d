r"""Litmus files: small tables of instructions, read into a `Test`.

The format is herd's (Alglave, Maranget and Tautschnig, *Herding cats*, 2014), with instructions for
those who share memory between processes::

    DSM SB
    "Each worker writes its own cell and reads the other's: may both writes come too late?"
    { x=0; y=0; }
     P0     | P1     ;
     x = 1  | y = 1  ;
     r0 = y | r0 = x ;
    exists (0:r0=0 /\ 1:r0=0)

A name as ``r0`` is a register, which belongs to its worker and is written once; every other name is a
location, one row of a shared array.  What is not in braces is 0 at the start.  ``#`` begins a comment.
docs/lab.md has the list of instructions.
"""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from pydsm.lab.check import check
from pydsm.lab.condition import And, Condition, Equal, Not, Or
from pydsm.lab.program import Instruction, Sum, Test
from pydsm.lab.text import Source, Token, Words

__all__ = ["parse"]

_HEADER: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*DSM[ \t]+(?P<name>[\w.+-]+)[ \t]*(?:#[^\n]*)?(?=\n|\Z)")
_REGISTER: Final = re.compile(r"r\d+")
_WORKER: Final = re.compile(r"P\d+")
_LIMIT: Final = 1 << 31
_RETURNING: Final = frozenset({"fetch_add", "swap", "load_acquire"})
_WITH_VALUE: Final = frozenset({"fetch_add", "swap", "store_release"})
_LOCKS: Final = frozenset({"lock", "unlock"})
_KEYWORDS: Final = _RETURNING | _WITH_VALUE | _LOCKS | {"fence", "barrier", "exists", "forall", "DSM"}


def parse(text: str, filename: str = "<litmus>") -> Test:
    r"""Read a litmus test.

    Parameters
    ----------
    text : str
        What a litmus file holds.
    filename : str
        How errors call it.

    Raises
    ------
    LitmusError
        A mistake (a ValueError): the sentence names file, line and column and shows the line.

    Examples
    --------
    >>> test = parse('DSM MP "" { } P0 | P1 ; x = 1 | r0 = y ; y = 1 | r1 = x ; exists (1:r0=1 /\\ 1:r1=0)')
    Traceback (most recent call last):
        ...
    pydsm.lab.text.LitmusError: <litmus>, line 1, column 1: a litmus test begins with a line as 'DSM SB', its name
        DSM MP "" { } P0 | P1 ; x = 1 | r0 = y ; y = 1 | r1 = x ; exists (1:r0=1 /\ 1:r1=0)
        ^
    >>> parse('DSM CoWR\n "" { } P0 ; x = 1 ; r0 = x ; exists (0:r0=0)').registers
    ('0:r0',)
    """
    return _Parser(Source(text, filename)).test()


class _Parser(Words):
    """Reads one test, word by word."""

    def __init__(self, source: Source) -> None:
        header = _HEADER.match(source.text)
        if header is None:
            start = len(source.text) - len(source.text.lstrip())
            raise source.error(start, "a litmus test begins with a line as 'DSM SB', its name")
        self.name = header["name"]
        super().__init__(source, header.end())
        self.locations: dict[str, int] = {}
        self.initial: dict[int, int] = {}
        self.registers: list[dict[str, int]] = []
        self.places: dict[int, Token] = {}
        """Where each instruction begins, by its `id`."""

    # -- the parts of a file ---------------------------------------------------------

    def test(self) -> Test:
        doc = self.kind("string", "a sentence in quotes that says what the test is about").text
        self.start_values()
        columns = self.table()
        programs = self.numbered(columns)
        quantifier = self.quantifier()
        condition = self.disjunction()
        if self.next.kind != "end":
            self.fail(f"expected the end of the test after its condition, not {self.next}")
        return Test(
            self.name,
            " ".join(doc.strip('"').split()),
            tuple(self.locations),
            tuple(self.initial.get(number, 0) for number in range(len(self.locations))),
            tuple(f"{worker}:{name}" for worker, names in enumerate(self.registers) for name in names),
            programs,
            quantifier,
            condition,
            self.source.text.strip() + "\n",
        )

    def start_values(self) -> None:
        self.expect("{", "before the initial values")
        while not self.skip("}"):
            place = self.next
            location = self.location()
            if location in self.initial:
                self.fail(f"location {place} has an initial value already", place)
            self.expect("=", f"after the location {place}")
            self.initial[location] = self.number()
            if self.next.text != "}":
                self.expect(";", "between initial values")

    def table(self) -> list[list[Instruction]]:
        columns: list[list[Instruction]] = []
        while True:
            place = self.kind("name", f"the head of a column, P{len(columns)}")
            if place.text != f"P{len(columns)}":
                self.fail(f"expected the head of a column, P{len(columns)}, not {place}", place)
            columns.append([])
            self.registers.append({})
            if not self.skip("|"):
                break
        self.expect(";", "at the end of the row of heads")
        while self.next.text not in ("exists", "forall", "~"):
            self.row(columns)
        return columns

    def row(self, columns: list[list[Instruction]]) -> None:
        for worker, column in enumerate(columns):
            if self.next.text not in ("|", ";"):
                column.append(self.instruction(worker))
            if worker < len(columns) - 1:
                self.expect("|", f"before the column of P{worker + 1}")
        if self.next.text == "|":
            self.fail(f"there is no column for P{len(columns)}: the head of the table has {len(columns)}")
        self.expect(";", "at the end of a row")

    # -- instructions ----------------------------------------------------------------

    def instruction(self, worker: int) -> Instruction:
        first, begin = self.next, self.position
        op, location, register, value = self.operation(worker)
        text = " ".join(token.text for token in self.tokens[begin : self.position])
        step = Instruction(op, text, location, register, value)
        self.places[id(step)] = first
        return step

    def operation(self, worker: int) -> tuple[str, int, int, Sum | None]:
        place = self.kind("name", "an instruction")
        word = place.text
        if word in ("fence", "barrier"):
            return word, -1, -1, None
        if word in _LOCKS:
            return word, self.location(), -1, None
        if word in _WITH_VALUE:
            return word, self.location(), -1, self.sum(worker)
        if word in _RETURNING:
            self.fail(f"{word} gives a value: write 'r0 = {word} x'", place)
        self.expect("=", f"after {place}" if word not in _KEYWORDS else "in an instruction")
        if not _REGISTER.fullmatch(word):
            return "write", self.known_location(place), -1, self.sum(worker)
        op, location, value = self.result(worker)
        return op, location, self.new_register(worker, place), value

    def result(self, worker: int) -> tuple[str, int, Sum | None]:
        """Read what a register gets: an atomic operation's result, or a location's value."""
        if self.next.text in _RETURNING:
            op = self.take().text
            return op, self.location(), self.sum(worker) if op in _WITH_VALUE else None
        return "read", self.location(), None

    def sum(self, worker: int) -> Sum:
        constant, registers = 0, []
        while True:
            if self.next.kind == "number":
                constant += self.number()
            else:
                registers.append(self.old_register(worker))
            if not self.skip("+"):
                return Sum(constant, tuple(registers))

    def number(self) -> int:
        place = self.kind("number", "a number")
        value = int(place.text)
        if not -_LIMIT <= value < _LIMIT:
            self.fail(f"{value} does not fit: values have 32 bits and a sign", place)
        return value

    def location(self) -> int:
        return self.known_location(self.kind("name", "a location"))

    def known_location(self, place: Token) -> int:
        if place.text in _KEYWORDS or _REGISTER.fullmatch(place.text) or _WORKER.fullmatch(place.text):
            self.fail(f"expected a location, not {place}", place)
        return self.locations.setdefault(place.text, len(self.locations))

    def new_register(self, worker: int, place: Token) -> int:
        names = self.registers[worker]
        if place.text in names:
            self.fail(f"P{worker} has written {place.text} already: use a register for each result", place)
        return names.setdefault(place.text, len(names))

    def old_register(self, worker: int) -> int:
        place = self.next
        if not _REGISTER.fullmatch(place.text):
            self.fail(f"expected a number or a register, not {place}")
        if place.text not in self.registers[worker]:
            self.fail(f"P{worker} has not written {place.text} yet")
        self.take()
        return self.registers[worker][place.text]

    def numbered(self, columns: list[list[Instruction]]) -> tuple[tuple[Instruction, ...], ...]:
        """Check the programs, and give registers and writes their numbers in the whole test."""
        check(columns, self.locations, lambda step, sentence: self.fail(sentence, self.places.get(id(step))))
        programs, base, writes = [], 0, 0
        for column, names in zip(columns, self.registers, strict=True):
            program = []
            for step in column:
                written = step.op in _WITH_VALUE or step.op == "write"
                program.append(_renumbered(step, base, writes if written else -1))
                writes += written
            programs.append(tuple(program))
            base += len(names)
        return tuple(programs)

    # -- the condition ---------------------------------------------------------------

    def quantifier(self) -> Literal["exists", "~exists", "forall"]:
        negated = self.skip("~")
        if negated and self.next.text != "exists":
            self.fail(f"expected 'exists' after '~', not {self.next}")
        word = ("~" if negated else "") + self.take().text
        return cast(Literal["exists", "~exists", "forall"], word)

    def disjunction(self) -> Condition:
        left = self.conjunction()
        while self.skip("\\/"):
            left = Or(left, self.conjunction())
        return left

    def conjunction(self) -> Condition:
        left = self.negation()
        while self.skip("/\\"):
            left = And(left, self.negation())
        return left

    def negation(self) -> Condition:
        if self.skip("~"):
            return Not(self.negation())
        if self.skip("("):
            inside = self.disjunction()
            self.expect(")", "after a condition in parentheses")
            return inside
        label = self.label()
        self.expect("=", f"after {label}")
        return Equal(label, self.number())

    def label(self) -> str:
        place = self.next
        if place.kind == "name":
            self.take()
            if place.text not in self.locations:
                self.fail(f"there is no location {place}; registers are named as in 0:r0", place)
            return place.text
        worker = int(self.kind("number", "a register as 0:r0 or a location").text)
        self.expect(":", "between the worker and its register")
        register = self.kind("name", "a register")
        if not 0 <= worker < len(self.registers):
            self.fail(f"there is no worker P{worker}: the test has {len(self.registers)}", place)
        if register.text not in self.registers[worker]:
            self.fail(f"P{worker} writes no register {register.text}", register)
        return f"{worker}:{register.text}"


def _renumbered(step: Instruction, base: int, write: int) -> Instruction:
    value = step.value and Sum(step.value.constant, tuple(base + register for register in step.value.registers))
    register = step.register + base if step.register >= 0 else -1
    return Instruction(step.op, step.text, step.location, register, value, write)
