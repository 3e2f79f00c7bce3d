"""The pages of ``pydsm lab``: each prints text or JSON and returns the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from pydsm import lab
from pydsm.lab import report
from pydsm.lab.models import find_model

__all__ = ["catalogue", "run", "single", "witness"]

_GLANCE: Final = 10_000
"""Rounds of a test that is looked at, not run."""


def catalogue(options: argparse.Namespace) -> int:
    """Print all tests and models, and what is allowed."""
    models = _models(options)
    matrix = lab.matrix(models=models)
    if options.json:
        tests = {name: {"doc": lab.load(name).doc, "allowed": row} for name, row in matrix.items()}
        sources = {name: {"title": lab.MODELS[name].title, "source": lab.MODELS[name].source} for name in models}
        return _json({"tests": tests, "models": sources})
    print(report.list_tests(matrix), report.list_models(models), sep="\n\n", end="\n\n")
    print("A: the model allows what the test asks about; -: it forbids it.", end="\n\n")
    print(report.show_matrix(matrix))
    return 0


def single(options: argparse.Namespace) -> int:
    """Print one test with all its outcomes, allowed and observed."""
    exact = lab.load(options.test)
    allowed = {model: lab.outcomes(exact, model) for model in _models(options)}
    seen = lab.observe(exact, _GLANCE, memory=options.memory)
    if options.json:
        by_model = {model: [dict(outcome.items) for outcome in sorted(found)] for model, found in allowed.items()}
        return _json({"test": exact.name, "doc": exact.doc, "allowed": by_model, "observed": seen.as_dict()}, seen)
    print(report.show_test(exact), report.show_outcomes(exact, allowed, seen), sep="\n\n", end="\n\n")
    print(seen.verdict)
    return _code(seen)


def run(options: argparse.Namespace) -> int:
    """Run one test, or all, for real."""
    names = lab.names() if options.test is None else (options.test,)
    found = []
    for name in names:
        seen = lab.observe(name, options.run, memory=options.memory, model=options.model)
        found.append(seen)
        if not options.json:
            print(seen if options.test is not None else "\n".join(filter(None, (seen.observation, _trouble(seen)))))
    if options.json:
        _json([seen.as_dict() for seen in found] if options.test is None else found[0].as_dict())
    elif options.test is None:
        print(f"{len(found)} tests on {options.memory}: {sum(map(_code, found))} with outcomes that are forbidden")
    return max(map(_code, found))


def witness(options: argparse.Namespace) -> int:
    """Print an execution step by step, or say that there is none."""
    found = lab.witness(options.test, options.model)
    if options.json:
        return _json(None if found is None else found.as_dict())
    if found is None:
        exact = lab.load(options.test)
        count = len(lab.outcomes(exact, options.model))
        print(
            f"{options.model} forbids it: none of the {count} outcomes of {exact.name} is as it asks, {exact.question}"
        )
    else:
        print(found)
    return 0


def _models(options: argparse.Namespace) -> list[str]:
    return list(lab.MODELS) if options.model is None else [find_model(options.model).name]


def _trouble(seen: lab.Histogram) -> str:
    return seen.verdict if seen.forbidden else ""


def _code(seen: lab.Histogram) -> int:
    return 1 if seen.forbidden else 0


def _json(content: Any, seen: lab.Histogram | None = None) -> int:
    json.dump(content, sys.stdout, indent=2)
    print()
    return 0 if seen is None else _code(seen)
