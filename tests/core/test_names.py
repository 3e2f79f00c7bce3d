from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core import names
from pydsm.errors import NameExistsError

good_names = st.text(min_size=1, max_size=40).filter(lambda s: s.isprintable() and "/" not in s and s != "id")


@given(good_names)
def test_file_names_are_read_back(name: str) -> None:
    assert names.parse(names.data_name("ns-1", name)) == ("ns-1", "data", name)
    assert names.parse(names.lock_name("ns-1", name)) == ("ns-1", "lock", name)


def test_the_other_kinds_are_read_back() -> None:
    assert names.parse(names.team_name("x")) == ("x", "team", "")
    assert names.parse(names.scratch_name("x", 4096)) == ("x", "scratch", "4096")
    assert names.parse("sem." + names.semaphore_name("x", 12)[1:]) == ("x", "semaphore", "12")


@pytest.mark.parametrize(
    "file", ["pydsm", "pydsm.x", "pydsm.x.data", "pydsm.x.team.y", "pydsm.x.7", "sem.pydsm.x.data.1"]
)
def test_foreign_files_are_not_ours(file: str) -> None:
    assert names.parse(file) is None


@pytest.mark.parametrize("name", ["", "a/b", "a\0", "\n", "\ud800", "ä" * 100])
def test_names_that_cannot_be_are_value_errors(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        names.check_name(name)


def test_a_name_that_is_no_string_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="string"):
        names.check_name(3)  # type: ignore[arg-type]


def test_a_reserved_name_is_a_key_error_with_a_sentence() -> None:
    with pytest.raises(KeyError) as caught:
        names.check_name("id")
    assert isinstance(caught.value, NameExistsError)
    assert "reserved" in str(caught.value)


def test_split_reads_the_namespace() -> None:
    assert names.split("ns/A") == ("ns", "A")
    assert names.split("A") == (None, "A")
    with pytest.raises(ValueError, match="must not have '/'"):
        names.split("a/b/c")
