"""Calls that must be refused, in a sentence, without changing anything."""

from __future__ import annotations

import numpy as np
import pytest

import pydsm

__all__ = ["check_refusal"]


def check_refusal(call: str, error: type[Exception], text: str) -> None:
    """Evaluate a call on arrays A, M, U ... and see what it raises, and that they stay zero."""
    with pydsm.Team(1) as team:
        arrays = {
            "A": team.array("A", 10, int),
            "M": team.array("M", (2, 3)),
            "U": team.array("U", 2, "u1"),
            "B": team.array("B", 2, bool),
            "C": team.array("C", 2, complex),
            "S": team.array("S", 2, ">i4"),
            "P": team.array("P", 2, np.dtype([("a", "u1"), ("b", "i4")])),
            "G": team.array("G", 2, int, access="guarded"),
        }
        with pytest.raises(error) as caught:
            eval(call, {"np": np}, arrays)
        assert text in str(caught.value)
        assert not any(array.tobytes().strip(b"\0") for array in arrays.values())
