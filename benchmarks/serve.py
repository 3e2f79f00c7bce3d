"""A peer in a process of its own: ``python -m benchmarks.serve MODULE FUNCTION [JSON ...]``.

The function gets the arguments and returns a run, as `benchmarks.measure` has them.  Each
line that comes in has the arguments of one call of it, the number of repetitions first; each
that goes out the seconds they took, or what went wrong.  It ends with the input, or when a line
says ``null``.  What the peer itself prints goes to the standard error output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import ExitStack

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Serve until the input ends."""
    module, function, *given = arguments
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers, ExitStack() as stack:
        os.dup2(2, 1)
        try:
            run = getattr(importlib.import_module(module), function)(stack, *map(json.loads, given))
        except Exception as error:
            _answer(answers, {"error": f"{type(error).__name__}: {error}"})
            return
        _answer(answers, {"ready": True})
        for line in sys.stdin:
            order = json.loads(line)
            if order is None:
                break
            try:
                _answer(answers, {"seconds": run(*order)})
            except Exception as error:
                _answer(answers, {"error": f"{type(error).__name__}: {error}"})


def _answer(answers: object, what: dict[str, object]) -> None:
    print(json.dumps(what), file=answers, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    main(sys.argv[1:])
