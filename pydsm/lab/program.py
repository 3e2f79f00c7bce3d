"""What a litmus test is: a few instructions for each worker, and a question about the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydsm.lab.condition import Condition

__all__ = ["ATOMIC", "SYNCHRONISATION", "Instruction", "Outcome", "Sum", "Test"]

ATOMIC: Final = frozenset({"fetch_add", "swap", "load_acquire", "store_release"})
SYNCHRONISATION: Final = frozenset({"fence", "lock", "unlock", "barrier"})

_CHANGES: Final[Mapping[str, Callable[[int, int], int]]] = {
    "fetch_add": lambda old, operand: old + operand,
    "swap": lambda old, operand: operand,
    "store_release": lambda old, operand: operand,
}


@dataclass(frozen=True, slots=True)
class Sum:
    """What is written: a constant plus the values of registers, which are numbered as in `Test.registers`."""

    constant: int
    registers: tuple[int, ...] = ()

    def of(self, values: Sequence[int | None]) -> int:
        """Return the sum, when all its registers have values."""
        total = self.constant
        for register in self.registers:
            value = values[register]
            assert value is not None
            total += value
        return total


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a worker.

    Attributes
    ----------
    op : str
        ``"read"``, ``"write"``, or an operation by its name.
    text : str
        As it stands in the test.
    location, register, write : int
        Numbers of the location, of the register that gets the result, and of the write among
        all writes of the test; -1 for none.
    value : Sum, optional
        What is written, added or swapped in.
    """

    op: str
    text: str
    location: int = -1
    register: int = -1
    value: Sum | None = None
    write: int = -1

    def change(self, old: int, operand: int) -> int:
        """Return what an atomic operation leaves where it found `old`."""
        return _CHANGES[self.op](old, operand)


@dataclass(frozen=True, slots=True, order=True)
class Outcome:
    """How an execution ended: the value of each register, and of the locations that are asked for.

    Examples
    --------
    >>> outcome = Outcome((("0:r0", 0), ("1:r0", 1)))
    >>> print(outcome)
    0:r0=0; 1:r0=1;
    >>> outcome["1:r0"]
    1
    """

    items: tuple[tuple[str, int], ...]

    def __getitem__(self, label: str) -> int:
        return dict(self.items)[label]

    def __str__(self) -> str:
        return " ".join(f"{label}={value};" for label, value in self.items)


@dataclass(frozen=True)
class Test:
    """A litmus test; made by `pydsm.lab.parse` or found by `pydsm.lab.load`.

    Attributes
    ----------
    name, doc : str
    locations : tuple of str
        Each is one row of a shared array.
    initial : tuple of int
        What the locations hold at the start.
    registers : tuple of str
        As ``"0:r0"``: those of worker 0 first.
    programs : tuple of tuple of Instruction
        One for each worker.
    quantifier : {"exists", "~exists", "forall"}
    condition : Condition
    source : str
        The text that it was read from.
    """

    __test__ = False  # it is no test of pytest's

    name: str
    doc: str
    locations: tuple[str, ...]
    initial: tuple[int, ...]
    registers: tuple[str, ...]
    programs: tuple[tuple[Instruction, ...], ...]
    quantifier: Literal["exists", "~exists", "forall"]
    condition: Condition
    source: str

    @property
    def size(self) -> int:
        """How many workers it takes."""
        return len(self.programs)

    @property
    def finals(self) -> tuple[int, ...]:
        """Numbers of the locations whose last value is asked for."""
        return tuple(number for number, name in enumerate(self.locations) if name in self.condition.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """What an outcome tells: all registers, then these locations."""
        return self.registers + tuple(self.locations[number] for number in self.finals)

    @property
    def writes(self) -> tuple[Instruction, ...]:
        """All writes, by their numbers."""
        found = [step for program in self.programs for step in program if step.write >= 0]
        return tuple(sorted(found, key=lambda step: step.write))

    @property
    def question(self) -> str:
        """The condition with its quantifier, on one line."""
        return f"{self.quantifier} ({self.condition})"

    def outcome(self, values: Sequence[int]) -> Outcome:
        """Return values in the order of `labels` as an outcome."""
        return Outcome(tuple(zip(self.labels, values, strict=True)))

    def holds(self, outcome: Outcome) -> bool:
        """Say whether the condition, without its quantifier, is true of an outcome."""
        return self.condition.holds(dict(outcome.items))

    def asked(self, outcome: Outcome) -> bool:
        """Say whether it is an outcome that the test is about: of a `forall`, one that breaks the rule."""
        return self.holds(outcome) != (self.quantifier == "forall")

    def validated(self, outcomes: Sequence[Outcome]) -> bool:
        """Say whether the condition with its quantifier is true of these outcomes."""
        found = any(map(self.asked, outcomes))
        return found if self.quantifier == "exists" else not found
