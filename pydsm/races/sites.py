"""Places of the program, numbered, so that one word can name them and another process can print them.

Each worker numbers the places where it accesses arrays, and writes what they are into its part of a
shared segment, one line of JSON each; who finds one of its numbers in a shadow reads it there.
A place is the innermost frame that is neither pydsm's nor NumPy's, and in it the very
instruction, so that two accesses on one line are two places.
"""

from __future__ import annotations

import json
import os
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.races.machine import intern_with
from pydsm.races.report import Place
from pydsm.races.texts import Texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["UNKNOWN", "Sites"]

UNKNOWN: Final = Place("<unknown>", 0, "an unknown place")
_MOST: Final = 1 << 15
_INSIDE: Final = -1


class Sites:
    """The places of all workers, as one worker sees them.

    Parameters
    ----------
    texts : list of Texts
        Of each worker.
    rank : int
    """

    def __init__(self, texts: list[Texts], rank: int) -> None:
        self._texts, self._mine = texts, texts[rank]
        self._numbers: dict[tuple[CodeType, int], int] = {}
        self._known: dict[tuple[int, int], Place] = {}
        intern_with(self.intern)

    def intern(self, code: CodeType, instruction: int) -> int:
        """Return the number of a place, or -1 if it is inside of pydsm or NumPy; 0 if there is no room for more."""
        key = code, instruction
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = _INSIDE if is_inside(code.co_filename) else self._add(code, instruction)
        return number

    def find(self, rank: int, number: int) -> Place:
        """Return a place of a worker's."""
        if number == 0:
            return UNKNOWN
        key = rank, number
        if key not in self._known:
            line = self._texts[rank].line(number - 1)
            self._known[key] = UNKNOWN if line is None else Place(*json.loads(line))
        return self._known[key]

    def _add(self, code: CodeType, instruction: int) -> int:
        if self._mine.count + 1 >= _MOST:
            return 0
        place = place_of(code, instruction)
        said = [place.file, place.line, place.function, place.column, place.end_column]
        return self._mine.count if self._mine.append(json.dumps(said)) else 0


def place_of(code: CodeType, instruction: int) -> Place:
    """Return where an instruction is, in bytes of the code."""
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    if line is None:
        return Place(code.co_filename, code.co_firstlineno, code.co_qualname)
    if column is None or end_column is None or line != end_line:
        return Place(code.co_filename, line, code.co_qualname)
    return Place(code.co_filename, line, code.co_qualname, column, end_column)


def is_inside(file: str) -> bool:
    """Say whether a file is pydsm's or NumPy's own, or no file."""
    return file.startswith(_OWN) or (file.startswith("<frozen") and file.endswith(">"))


def _folder(file: str, up: int) -> str:
    folder = os.path.abspath(file)
    for _ in range(up):
        folder = os.path.dirname(folder)
    return folder + os.sep


_OWN: Final = (_folder(__file__, 2), _folder(np.__file__, 1))


def texts_of(parts: dict[str, NDArray[Any]], bytes_of: NDArray[Any], kind: int) -> list[Texts]:
    """Return the places (0) or the reports (1) of all workers."""
    return [Texts(bytes_of[rank, kind], parts["ends"][rank, 2 * kind : 2 * kind + 2]) for rank in range(len(bytes_of))]
