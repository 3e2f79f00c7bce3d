"""The question of a litmus test: equations with and, or, not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["And", "Condition", "Equal", "Not", "Or"]


@dataclass(frozen=True, slots=True)
class Equal:
    """A register or a location has this value at the end."""

    label: str
    value: int

    def holds(self, values: Mapping[str, int]) -> bool:
        """Say whether it is true of these values."""
        return values[self.label] == self.value

    @property
    def labels(self) -> frozenset[str]:
        """What it speaks of."""
        return frozenset({self.label})

    def __str__(self) -> str:
        return f"{self.label}={self.value}"


@dataclass(frozen=True, slots=True)
class Not:
    """What is inside is false."""

    inside: Condition

    def holds(self, values: Mapping[str, int]) -> bool:
        """Say whether it is true of these values."""
        return not self.inside.holds(values)

    @property
    def labels(self) -> frozenset[str]:
        """What it speaks of."""
        return self.inside.labels

    def __str__(self) -> str:
        return f"~({self.inside})"


@dataclass(frozen=True, slots=True)
class And:
    """Both are true."""

    left: Condition
    right: Condition

    def holds(self, values: Mapping[str, int]) -> bool:
        """Say whether it is true of these values."""
        return self.left.holds(values) and self.right.holds(values)

    @property
    def labels(self) -> frozenset[str]:
        """What it speaks of."""
        return self.left.labels | self.right.labels

    def __str__(self) -> str:
        return " /\\ ".join(f"({side})" if isinstance(side, Or) else str(side) for side in (self.left, self.right))


@dataclass(frozen=True, slots=True)
class Or:
    """One is true, or both."""

    left: Condition
    right: Condition

    def holds(self, values: Mapping[str, int]) -> bool:
        """Say whether it is true of these values."""
        return self.left.holds(values) or self.right.holds(values)

    @property
    def labels(self) -> frozenset[str]:
        """What it speaks of."""
        return self.left.labels | self.right.labels

    def __str__(self) -> str:
        return f"{self.left} \\/ {self.right}"


Condition = Equal | Not | And | Or
