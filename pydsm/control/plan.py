"""What `Team(schedule=)` and ``PYDSM_SCHEDULE`` may say: a seed, or words ``name=value``.

``7`` and ``seed=7`` are a random walk, ``seed=7 strategy=pct depth=3 steps=120`` is PCT (see
`pydsm.control.strategies`).  `str` gives the shortest text that means the same.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

__all__ = ["STRATEGIES", "Plan"]

STRATEGIES: Final = ("random", "pct")
_MOST: Final[Mapping[str, int]] = {"seed": 2**63 - 1, "depth": 64, "steps": 2**40}


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule as it was asked for.

    Parameters
    ----------
    seed : int
    strategy : {"random", "pct"}
    depth : int
        For PCT: how many orders between events a bug may need.
    steps : int
        For PCT: how many steps a run is expected to have.

    Examples
    --------
    >>> Plan.read("seed=7 strategy=pct steps=120")
    Plan(seed=7, strategy='pct', depth=3, steps=120)
    >>> str(Plan.read(7)), str(Plan.read("strategy=pct seed=7 steps=120"))
    ('7', 'seed=7 strategy=pct depth=3 steps=120')
    """

    seed: int
    strategy: str = "random"
    depth: int = 3
    steps: int = 1000

    @classmethod
    def read(cls, asked: Any) -> Plan:
        """Read what somebody asked for.

        Raises
        ------
        TypeError
            It is neither an int nor a text.
        ValueError
            It is no schedule.
        """
        if isinstance(asked, bool) or not (isinstance(asked, str) or hasattr(asked, "__index__")):
            raise TypeError(f"schedule is a seed or a text like 'seed=7 strategy=pct', not {asked!r}")
        text = asked if isinstance(asked, str) else f"seed={operator.index(asked)}"
        words = text.split()
        if len(words) == 1 and words[0].lstrip("+-").isdecimal():
            words = [f"seed={words[0]}"]
        given: dict[str, Any] = {}
        for word in words:
            name, equals, value = word.partition("=")
            known = [field.name for field in fields(cls)]
            if not equals or name not in known or name in given:
                raise ValueError(f"schedule {text!r} is a seed, or words {_listed()}, each once at most")
            given[name] = _strategy(text, value) if name == "strategy" else _number(text, name, value)
        if "seed" not in given:
            raise ValueError(f"schedule {text!r} names no seed: it is a seed, or words {_listed()}")
        return cls(**given)

    def __str__(self) -> str:
        if self.strategy == "random":
            return str(self.seed)
        return f"seed={self.seed} strategy={self.strategy} depth={self.depth} steps={self.steps}"


def _listed() -> str:
    return f"seed=<int>, strategy=<{' or '.join(STRATEGIES)}>, depth=<int>, steps=<int>"


def _strategy(text: str, value: str) -> str:
    if value not in STRATEGIES:
        raise ValueError(f"strategy of schedule {text!r} is one of {', '.join(STRATEGIES)}, not {value!r}")
    return value


def _number(text: str, name: str, value: str) -> int:
    least = 0 if name == "seed" else 1
    if not value.isdecimal() or not least <= int(value) <= _MOST[name]:
        raise ValueError(f"{name} of schedule {text!r} is an int from {least} to {_MOST[name]}, not {value!r}")
    return int(value)
