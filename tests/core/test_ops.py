from __future__ import annotations

import functools
import operator

import numpy as np
import pytest

from pydsm.core.ops import UFUNCS, check_op

PLAIN = {
    "add": operator.add,
    "mul": operator.mul,
    "min": min,
    "max": max,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}


def test_each_name_is_the_operation_that_python_has() -> None:
    values = [12, 10, 7]
    assert {op: check_op(op).reduce(values) for op in UFUNCS} == {
        op: functools.reduce(plain, values) for op, plain in PLAIN.items()
    }


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="one of 'add', 'mul', 'min', 'max', 'and', 'or', 'xor', not 'sub'"):
        check_op("sub")


@pytest.mark.parametrize("op", [None, np.add, 3, ["add"]])
def test_something_that_is_no_name_is_a_type_error(op: object) -> None:
    with pytest.raises(TypeError, match="op is one of"):
        check_op(op)  # type: ignore[arg-type]
