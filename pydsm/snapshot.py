"""What a program's runs left, written down for another program to compare.

``PYDSM_SNAPSHOT`` names a folder.  Each process that makes teams takes the next number in it; of
the r-th run of the t-th team of process p there are, in ``p-t-r``, the arrays as ``.npy``
files and an index in JSON: their names, the memory, and each worker's result as text.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core.events import Instrument, Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Run", "Snapshot", "instrument", "read_runs"]

_INDEX: Final = "index.json"
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}")
_LONGEST: Final = 1 << 16
_teams = itertools.count(1)
_process: tuple[int, int] | None = None  # this one's pid, and its number


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left.

    Attributes
    ----------
    results : list of str, optional
        One for each worker; None if the run failed.
    memory : str
        What the team had.
    arrays : dict
        By name.
    """

    results: list[str] | None
    memory: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def instrument(folder: str) -> Instrument:
    """Return what writes down a team's runs."""
    return Snapshot(str(folder))


class Snapshot(Instrument):
    """Writes down what each run of a team leaves.

    Parameters
    ----------
    folder : str
        Where; it must be there.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._memory = "coherent"
        self._team = ""
        self._runs = 0

    def check_with(self, others: Mapping[str, Instrument]) -> None:
        """See which memory the team has; all instruments are welcome."""
        self._memory = getattr(others.get("memory"), "policy", self._memory)

    def open(self, namespace: Any, size: int) -> None:
        """Take the team's number."""
        self._team = f"{_number_of_process(self._folder)}-{next(_teams)}"

    def observer(self, namespace: Any, rank: int, size: int) -> Observer:
        """Return one that has nothing to look at."""
        return Observer()

    def after_run(self, arrays: Sequence[Any], results: Sequence[Any] | None) -> None:
        """Write down arrays and results."""
        self._runs += 1
        path = os.path.join(self._folder, f"{self._team}-{self._runs}")
        os.mkdir(path)
        texts = None if results is None else [text_of(result) for result in results]
        index = {"results": texts, "memory": self._memory, "arrays": [array.name for array in arrays]}
        for number, array in enumerate(arrays):
            np.save(os.path.join(path, f"{number}.npy"), np.asarray(array), allow_pickle=False)
        with open(os.path.join(path, _INDEX), "w", encoding="utf-8") as file:
            json.dump(index, file)


def text_of(result: Any) -> str:
    """Return a result as text that says all of it, but not where it was in memory.

    Examples
    --------
    >>> import numpy as np
    >>> text_of([1, np.arange(3)]), text_of(object())
    ('[1, array([0, 1, 2])]', '<object object at 0x...>')
    """
    with np.printoptions(threshold=_LONGEST, floatmode="unique", linewidth=_LONGEST):
        try:
            text = repr(result)
        except Exception as error:
            text = f"{reprlib.repr(type(result))} that cannot be shown: {error!r}"
    return _ADDRESS.sub("0x...", text[:_LONGEST])


def read_runs(folder: str) -> dict[tuple[int, ...], Run]:
    """Return what was written down, by the numbers of process, team and run."""
    found = {}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        numbers = tuple(int(part) for part in name.split("-"))
        if len(numbers) == 3 and os.path.exists(os.path.join(path, _INDEX)):
            with open(os.path.join(path, _INDEX), encoding="utf-8") as file:
                index = json.load(file)
            files = (os.path.join(path, f"{number}.npy") for number in itertools.count())
            arrays = {array: np.load(file) for array, file in zip(index["arrays"], files, strict=False)}
            found[numbers] = Run(index["results"], index["memory"], arrays)
    return dict(sorted(found.items()))


def _number_of_process(folder: str) -> int:
    """Return the number of this process among those that write there."""
    global _process
    if _process is None or _process[0] != os.getpid():
        for number in itertools.count(1):
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(folder, str(number)))
                _process = os.getpid(), number
                break
    assert _process is not None
    return _process[1]
