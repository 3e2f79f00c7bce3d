from __future__ import annotations

import doctest

import pytest

import pydsm
from pydsm import native


@pytest.mark.parametrize("thing", [native.locked, native.Words, native.Region], ids=lambda thing: thing.__name__)
def test_examples_of_compiled_code_run(thing: object) -> None:
    """Doctest does not find functions of compiled modules by itself."""
    test = doctest.DocTestParser().get_doctest(thing.__doc__ or "", {"pydsm": pydsm}, repr(thing), None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0
