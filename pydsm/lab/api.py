"""The questions that the lab answers, each a function."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from functools import lru_cache

from pydsm.lab.catalogue import load, names
from pydsm.lab.explorer import explore, find_path
from pydsm.lab.histogram import Histogram
from pydsm.lab.machine import MEMORIES, model_of, run
from pydsm.lab.models import MODELS, find_model
from pydsm.lab.program import Outcome, Test
from pydsm.lab.witness import Witness, narrate

__all__ = ["allowed", "matrix", "observe", "outcomes", "witness"]

AnyTest = str | os.PathLike[str] | Test


def outcomes(test: AnyTest, model: str) -> frozenset[Outcome]:
    """Return all outcomes that a memory model allows a test, and no other.

    Parameters
    ----------
    test : str, path or Test
        A name as in `names`, a file ``*.litmus``, or a test.
    model : str
        A name as in `MODELS`.

    Raises
    ------
    UnknownNameError, LitmusError

    Examples
    --------
    >>> from pydsm import lab
    >>> for outcome in sorted(lab.outcomes("SB", "tso") - lab.outcomes("SB", "sc")):
    ...     print(outcome)
    0:r0=0; 1:r0=0;
    """
    return _outcomes(load(test), find_model(model).name)


@lru_cache(1024)
def _outcomes(test: Test, model: str) -> frozenset[Outcome]:
    return explore(MODELS[model](test))


def allowed(test: AnyTest, model: str) -> bool:
    """Say whether a memory model allows what a test asks about; of a `forall`, whether it can be broken.

    Examples
    --------
    >>> from pydsm import lab
    >>> lab.allowed("MP", "tso"), lab.allowed("MP", "pso")
    (False, True)
    """
    exact = load(test)
    return any(map(exact.asked, outcomes(exact, model)))


def matrix(tests: Iterable[AnyTest] | None = None, models: Iterable[str] | None = None) -> dict[str, dict[str, bool]]:
    """Return `allowed` of each test under each model; of all, unless some are given.

    Examples
    --------
    >>> from pydsm import lab
    >>> lab.matrix(["SB", "LB"], ["sc", "tso", "rmo"])
    {'SB': {'sc': False, 'tso': True, 'rmo': True}, 'LB': {'sc': False, 'tso': False, 'rmo': True}}
    """
    chosen = list(MODELS if models is None else models)
    loaded = map(load, names() if tests is None else tests)
    return {test.name: {model: allowed(test, model) for model in chosen} for test in loaded}


def witness(test: AnyTest, model: str, outcome: Outcome | None = None) -> Witness | None:
    """Return a shortest execution that ends with an outcome, or None if the model forbids it.

    Parameters
    ----------
    test : str, path or Test
    model : str
    outcome : Outcome, optional
        One that the test asks about, unless given.

    Examples
    --------
    >>> from pydsm import lab
    >>> print(lab.witness("SB", "tso"))
    SB under tso ends with 0:r0=0; 1:r0=0;
              memory x=0 y=0
              buffers P0 [] P1 []
      1. P0   x = 1
              buffers P0 [x = 1] P1 []
      2. P0   r0 = y   -> r0 is 0
      3. P1   y = 1
              buffers P0 [x = 1] P1 [y = 1]
      4. P1   r0 = x   -> r0 is 0
      5. P0   its x = 1 leaves the store buffer
              memory x=1 y=0
              buffers P0 [] P1 [y = 1]
      6. P1   its y = 1 leaves the store buffer
              memory x=1 y=1
              buffers P0 [] P1 []
    """
    exact = load(test)
    machine = find_model(model)(exact)
    wanted = filter(exact.asked, outcomes(exact, model)) if outcome is None else (outcome,)
    found = find_path(machine, wanted)
    return None if found is None else narrate(machine, *found)


def observe(test: AnyTest, rounds: int = 10_000, *, memory: str = "machine", model: str | None = None) -> Histogram:
    """Run a test for real, with a worker process for each of its columns.

    Parameters
    ----------
    test : str, path or Test
    rounds : int
    memory : {"machine", "coherent", "release", "entry"}
        ``"machine"``: cells of a shared array as raw as Python reaches them.  The others are what
        `pydsm.Team` takes: its arrays, indexed as users do.
    model : str, optional
        The model that the memory is held against; `model_of` it unless given.

    Returns
    -------
    Histogram
        Its ``forbidden`` is what was observed against the model.

    Raises
    ------
    ValueError
        There is no such memory.

    Notes
    -----
    That an outcome was not observed does not mean that it is forbidden.

    Examples
    --------
    >>> from pydsm import lab
    >>> histogram = lab.observe("MP+locks", 100, memory="coherent")
    >>> histogram.positive, histogram.forbidden
    (0, ())
    """
    exact = load(test)
    if memory not in MEMORIES:
        raise ValueError(f"memory is one of {', '.join(map(repr, MEMORIES))}, not {memory!r}")
    if not hasattr(rounds, "__index__"):
        raise TypeError(f"rounds is a number of rounds, not {rounds!r}")
    if operator.index(rounds) < 1:
        raise ValueError(f"rounds is a number from 1, not {rounds}")
    held_against = model_of(memory) if model is None else find_model(model).name
    counts, seconds = run(exact, operator.index(rounds), memory)
    seen = {exact.outcome(values): count for values, count in counts.items()}
    return Histogram(exact, memory, held_against, seen, outcomes(exact, held_against), seconds)
