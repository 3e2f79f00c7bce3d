"""Peers in processes of their own, and what callgrind writes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.counted import STATEMENTS, repetitions
from benchmarks.instructions import compared, read_dumps
from benchmarks.remote import Remote


def doubled(stack: ExitStack, factor: float) -> object:
    """Be served: seconds are the count times the factor, and no count is negative."""

    def run(count: int, more: float = 0) -> float:
        print("chatter on the standard output")
        if count < 0:
            raise ValueError("a count is not negative")
        return count * factor + more

    return run


def marked(stack: ExitStack, path: str) -> object:
    """Be served, and leave a mark at the end."""
    stack.callback(Path(path).touch)
    return lambda count: 0.0


def test_a_run_in_another_process_gives_its_seconds() -> None:
    with Remote(__name__, "doubled", 2.5) as remote:
        assert remote(2) == 5
        assert remote.bound(0.5)(2) == 5.5


def test_a_run_that_fails_there_fails_here_and_the_next_one_goes_on() -> None:
    with Remote(__name__, "doubled", 1) as remote:
        with pytest.raises(RuntimeError, match="ValueError: a count is not negative"):
            remote(-1)
        assert remote(3) == 3


def test_what_cannot_be_set_up_says_why() -> None:
    with Remote(__name__, "no_such_function") as remote, pytest.raises(RuntimeError, match="no_such_function"):
        remote.ready()


def test_a_launcher_that_ends_at_once_is_quoted() -> None:
    launcher = ["sh", "-c", "echo nobody home >&2"]
    remote = Remote(__name__, "doubled", 1, launcher=launcher)
    with remote, pytest.raises(RuntimeError, match="it ended: nobody home"):
        remote(1)


def test_what_a_launcher_says_on_the_standard_output_is_no_answer() -> None:
    launcher = ["sh", "-c", "echo rank 3 was killed >&2; echo ===; echo BAD TERMINATION"]
    remote = Remote(__name__, "doubled", 1, launcher=launcher)
    with remote, pytest.raises(RuntimeError, match="it ended: rank 3 was killed"):
        remote(1)


def test_the_other_side_cleans_up_at_the_end(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with Remote(__name__, "marked", str(mark)) as remote:
        remote(1)
        assert not mark.exists()
    assert mark.exists()


def dump(reason: str, total: int) -> str:
    return (
        f"# callgrind format\nversion: 1\n\ndesc: Trigger: Client Request: {reason}\n\nevents: Ir\nsummary: {total}\n"
    )


def test_instructions_are_the_difference_between_once_and_twice() -> None:
    name = next(iter(STATEMENTS))
    count, start, each = repetitions(name), 12_345, 700
    dumps = [
        dump("between", 999),
        dump(f"twice {name}", start + 2 * count * each),
        dump(f"once {name}", start + count * each),
        "desc: Trigger: Program termination\nsummary: 5\n",
    ]
    assert read_dumps(dumps) == {name: each}


def test_more_instructions_than_recorded_are_said() -> None:
    table, *notes = compared({"a": 110.0, "b": 101.0, "new": 5.0}, {"a": 100.0, "b": 100.0})
    assert [line[0] for line in table.lines] == ["a", "b", "new"]  # type: ignore[union-attr]
    assert [note.text for note in notes] == ["a takes 10% more instructions than recorded"]  # type: ignore[union-attr]
