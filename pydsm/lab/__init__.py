"""The litmus lab: small programs, memory models that say what they may do, and the machine that does it.

| `names`, `load`, `parse`: the tests that come with pydsm, and tests of your own.
| `MODELS`, `outcomes`, `allowed`, `matrix`: what each memory model allows, exactly.
| `witness`: one execution that ends with an outcome, step by step.
| `observe`: many rounds with real workers, on this machine or on a team's memory.

Wherever a function takes a test, it takes a name, the path of a file, or a `Test`.  See docs/lab.md.
"""

from pydsm.lab.api import allowed, matrix, observe, outcomes, witness
from pydsm.lab.catalogue import load, names
from pydsm.lab.histogram import Histogram
from pydsm.lab.machine import MEMORIES, model_of
from pydsm.lab.models import MODELS
from pydsm.lab.parser import parse
from pydsm.lab.program import Outcome, Test
from pydsm.lab.text import LitmusError
from pydsm.lab.witness import Step, Witness

__all__ = [
    "MEMORIES",
    "MODELS",
    "Histogram",
    "LitmusError",
    "Outcome",
    "Step",
    "Test",
    "Witness",
    "allowed",
    "load",
    "matrix",
    "model_of",
    "names",
    "observe",
    "outcomes",
    "parse",
    "witness",
]
