"""The operations that combine two elements, by name: one table for all that take an ``op``."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["UFUNCS", "check_op"]

UFUNCS: Final[dict[str, np.ufunc]] = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
"""``min`` and ``max`` give NaN if either is; ``and``, ``or`` and ``xor`` are of bits, or of bools."""


def check_op(op: str) -> np.ufunc:
    """Return the ufunc of that name, or raise TypeError or ValueError.

    Examples
    --------
    >>> check_op("max")(2, 3).item()
    3
    """
    if not isinstance(op, str):
        raise TypeError(f"op is one of {', '.join(map(repr, UFUNCS))}, not {op!r}")
    if op not in UFUNCS:
        raise ValueError(f"op is one of {', '.join(map(repr, UFUNCS))}, not {op!r}")
    return UFUNCS[op]
