"""The memory models, from the strongest on; each in a file of its own with its definition."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydsm.errors import UnknownNameError
from pydsm.lab.models.base import Model
from pydsm.lab.models.causal import Causal
from pydsm.lab.models.entry import Entry
from pydsm.lab.models.lrc import LRC
from pydsm.lab.models.pram import PRAM
from pydsm.lab.models.pso import PSO
from pydsm.lab.models.rmo import RMO, RMO9
from pydsm.lab.models.sc import SC
from pydsm.lab.models.slow import Slow
from pydsm.lab.models.tso import TSO
from pydsm.lab.spelling import meant

__all__ = ["MODELS", "Model", "find_model"]

_ALL: Final[tuple[type[Model], ...]] = (SC, TSO, PSO, RMO, RMO9, Causal, PRAM, Slow, LRC, Entry)
MODELS: Final[Mapping[str, type[Model]]] = MappingProxyType({model.name: model for model in _ALL})


def find_model(name: str) -> type[Model]:
    """Return a model by its name.

    Raises
    ------
    UnknownNameError
        There is none of that name; the message lists those there are.
    """
    if name not in MODELS:
        raise UnknownNameError(f"there is no memory model {name!r}{meant(name, MODELS)}; there are {', '.join(MODELS)}")
    return MODELS[name]
