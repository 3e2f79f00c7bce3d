"""How what a program did on one memory differs from what it did on another.

What differs between two runs on the *same* memory says nothing: a process number, a time, who
came first.  So there are two runs to compare with, and each thing is judged by both.  A line, a
result or a float that was not the same in them is not judged; an integer that was not may be
anything between the two.  Floats may always differ by what another order of additions does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.snapshot import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Difference", "Trial", "differences", "unstable"]

_ROUNDING: Final = 1e-9  # of the greater of two floats


@dataclass(frozen=True, slots=True)
class Trial:
    """What one run of a program gave.

    Attributes
    ----------
    name : str
        The memory, and the schedule if there was one.
    code : int, optional
        Exit code; None if it did not end in time.
    """

    name: str
    code: int | None
    output: list[str]
    runs: dict[tuple[int, ...], Run]
    seconds: float = 0.0
    errors: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A thing that is not what it was.

    Attributes
    ----------
    what : str
        As ``"array 'A' after run 2 of team 1"``.
    where : str
        Which part of it, as ``"3 of 8 elements"``.
    values : list of (str, str, str)
        Place, value where it was right, value now.
    """

    what: str
    where: str
    values: list[tuple[str, str, str]] = field(default_factory=list)


def differences(one: Trial, other: Trial, now: Trial) -> Iterator[Difference]:
    """Yield what of a run is as in neither of two runs on another memory."""
    if now.code is None:
        if one.code is not None or other.code is not None:
            yield Difference("the program", f"did not end, and needed {one.seconds:.1f} s before")
        return
    if now.code not in (one.code, other.code):
        yield Difference("exit code", "", [("", str(one.code), str(now.code))])
    yield from _output(one.output, other.output, now.output)
    if one.runs.keys() == other.runs.keys() != now.runs.keys():
        yield Difference("the runs of its teams", f"are {len(now.runs)}, and were {len(one.runs)}")
    for numbers in one.runs.keys() & other.runs.keys() & now.runs.keys():
        yield from _run(_when(numbers), *(trial.runs[numbers] for trial in (one, other, now)))


def unstable(one: Trial, other: Trial) -> list[str]:
    """Return what differs between two runs that should be alike."""
    found = [f"{difference.what}: {difference.where}" for difference in differences(one, one, other)]
    return found + [f"{what}, in the last digits" for what in _rounded(one, other)]


def _when(numbers: tuple[int, ...]) -> str:
    process, team, run = numbers
    return f"run {run} of team {team}" + (f" of process {process}" if process > 1 else "")


# -- output ----------------------------------------------------------------------


def _output(one: list[str], other: list[str], now: list[str]) -> Iterator[Difference]:
    if one != other and sorted(one) == sorted(other):  # who prints first
        one, other, now = sorted(one), sorted(other), sorted(now)
    if len(one) != len(other):
        return
    if len(now) != len(one):
        missing = [("", line, "-") for line in one if line not in now]
        new = [("", "-", line) for line in now if line not in one]
        yield Difference("output", f"{len(now)} lines, and were {len(one)}", missing + new)
        return
    lines = list(zip(one, other, now, strict=True))
    wrong = [(f"line {n}", a, c) for n, (a, b, c) in enumerate(lines, 1) if a == b != c]
    if wrong:
        yield Difference("output", f"{len(wrong)} of {len(now)} lines", wrong)


# -- runs ------------------------------------------------------------------------


def _run(when: str, one: Run, other: Run, now: Run) -> Iterator[Difference]:
    yield from _results(when, one.results, other.results, now.results)
    for name, array in now.arrays.items():
        if name in one.arrays and name in other.arrays:
            yield from _array(f"array {name!r} after {when}", one.arrays[name], other.arrays[name], array)


def _results(
    when: str, one: Sequence[str] | None, other: Sequence[str] | None, now: Sequence[str] | None
) -> Iterator[Difference]:
    if one is None or other is None or now is None:
        if (one is None) == (other is None) != (now is None):
            failed, worked = "the run failed", "the run returned"
            yield Difference(when, "", [("", failed if one is None else worked, failed if now is None else worked)])
        return
    triples = enumerate(zip(one, other, now, strict=False))
    wrong = [(f"rank {rank}", a, c) for rank, (a, b, c) in triples if a == b != c]
    if wrong:
        yield Difference(f"results of {when}", f"of {len(wrong)} of {len(now)} workers", wrong)


def _array(what: str, one: NDArray[Any], other: NDArray[Any], now: NDArray[Any]) -> Iterator[Difference]:
    if now.shape != one.shape or now.dtype != one.dtype:
        yield Difference(what, "", [("", f"{one.dtype} of {one.shape}", f"{now.dtype} of {now.shape}")])
    elif now.shape == other.shape and now.dtype == other.dtype:
        wrong = np.argwhere(~_is_as(one, other, now))
        if len(wrong):
            values = [(str(place.tolist()), str(one[tuple(place)]), str(now[tuple(place)])) for place in wrong[:100]]
            yield Difference(what, f"{len(wrong)} of {now.size} elements", values)


def _is_as(one: NDArray[Any], other: NDArray[Any], now: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which elements are as in one of two arrays, or nothing can be said of."""
    same = _same_bits(now, one) | _same_bits(now, other)
    if now.dtype.kind in "fc":
        return same | _close(now, one) | _close(now, other) | ~(_close(one, other) | _same_bits(one, other))
    if now.dtype.kind in "biu":
        between: NDArray[np.bool_] = (np.minimum(one, other) <= now) & (now <= np.maximum(one, other))
        return same | between
    return same


def _close(now: NDArray[Any], before: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(now), np.abs(before))
        close: NDArray[np.bool_] = (np.abs(now - before) <= _ROUNDING * scale) & np.isfinite(scale)
    return close


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Compare elements by their bits: a NaN is itself."""
    raw = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, one.itemsize) for array in (one, other)]
    same: NDArray[np.bool_] = (raw[0] == raw[1]).all(axis=1).reshape(one.shape)
    return same


def _rounded(one: Trial, other: Trial) -> Iterator[str]:
    """Yield the arrays that are close but not the same."""
    for numbers in one.runs.keys() & other.runs.keys():
        for name, array in one.runs[numbers].arrays.items():
            found = other.runs[numbers].arrays.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                continue
            if not _same_bits(array, found).all() and _is_as(array, array, found).all():
                yield f"array {name!r} after {_when(numbers)}"
