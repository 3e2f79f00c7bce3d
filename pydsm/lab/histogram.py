"""What was observed, beside what is allowed; printed as litmus7 prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydsm.lab.program import Outcome, Test

__all__ = ["Histogram"]

_KINDS: Final = {"exists": "Allowed", "~exists": "Forbidden", "forall": "Required"}


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often a test ended how; printing it gives litmus7's report.

    Attributes
    ----------
    test : Test
    memory : str
        Where it ran: ``"machine"``, or a memory of a team.
    model : str
        The model that this memory must keep to.
    counts : mapping of Outcome to int
    allowed : frozenset of Outcome
        What the model allows.
    seconds : float
    """

    test: Test
    memory: str
    model: str
    counts: Mapping[Outcome, int]
    allowed: frozenset[Outcome]
    seconds: float

    @property
    def forbidden(self) -> tuple[Outcome, ...]:
        """What was observed though the model forbids it: a mistake of the memory's, or of the model's."""
        return tuple(sorted(set(self.counts) - self.allowed))

    @property
    def positive(self) -> int:
        """In how many rounds the condition held."""
        return sum(count for outcome, count in self.counts.items() if self.test.holds(outcome))

    @property
    def negative(self) -> int:
        """In how many rounds it did not."""
        return sum(self.counts.values()) - self.positive

    @property
    def validated(self) -> bool:
        """Whether the condition with its quantifier is true of what was observed."""
        return self.test.validated(list(self.counts))

    @property
    def observation(self) -> str:
        """litmus7's line: Never, Sometimes or Always, and how often."""
        word = "Sometimes" if self.positive and self.negative else "Always" if self.positive else "Never"
        return f"Observation {self.test.name} {word} {self.positive} {self.negative}"

    @property
    def verdict(self) -> str:
        """Say whether what was observed is allowed."""
        if self.forbidden:
            return f"FORBIDDEN by {self.model}, observed on {self.memory}: {' and '.join(map(str, self.forbidden))}"
        count = len(self.counts)
        return (
            f"Observed on {self.memory}: {count} of the {len(self.allowed)} states that {self.model} allows, no other"
        )

    def __str__(self) -> str:
        states = sorted(self.counts)
        lines = [f"Test {self.test.name} {_KINDS[self.test.quantifier]}", f"Histogram ({len(states)} states)"]
        lines += [f"{self.counts[state]:<8}{'*' if self.test.asked(state) else ':'}>{state}" for state in states]
        lines += ["Ok" if self.validated else "No", "", "Witnesses"]
        lines += [f"Positive: {self.positive}, Negative: {self.negative}"]
        lines += [f"Condition {self.test.question} is {'' if self.validated else 'NOT '}validated"]
        lines += [self.observation, f"Time {self.test.name} {self.seconds:.2f}", "", self.verdict]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return what there is to say, for JSON."""
        return {
            "test": self.test.name,
            "memory": self.memory,
            "model": self.model,
            "states": [
                {"outcome": dict(state.items), "count": count, "allowed": state in self.allowed}
                for state, count in sorted(self.counts.items())
            ],
            "positive": self.positive,
            "negative": self.negative,
            "validated": self.validated,
            "forbidden": [dict(state.items) for state in self.forbidden],
            "seconds": round(self.seconds, 3),
        }
