"""Which line of the user's program is running: the innermost frame that is not pydsm's own.

Finding a frame's line number costs more than all the rest of an event, so a place is known by
its code object and the offset of its instruction, and looked up once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Final

__all__ = ["Sites"]

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Sites:
    """Numbers for the places that were seen; 0 is nowhere.

    Parameters
    ----------
    tell : callable
        Gets the number, the file and the line of each new one.
    """

    def __init__(self, tell: Callable[[int, str, int], None]) -> None:
        self._tell = tell
        self._known: dict[int, tuple[CodeType, dict[int, int] | None]] = {}  # by id: a code's hash is slow
        self._lines: dict[tuple[str, int], int] = {}

    def here(self) -> int:
        """Return the number of the line that called pydsm."""
        frame: FrameType | None = sys._getframe(4)  # whoever calls an observer is four calls up or more
        known = self._known
        while frame is not None:
            code = frame.f_code
            entry = known.get(id(code))
            if entry is None:
                entry = known[id(code)] = code, None if code.co_filename.startswith(_OURS) else {}
            offsets = entry[1]
            if offsets is not None:
                offset = frame.f_lasti
                return offsets[offset] if offset in offsets else self._add(frame, offsets, offset)
            frame = frame.f_back
        return 0

    def _add(self, frame: FrameType, offsets: dict[int, int], offset: int) -> int:
        place = frame.f_code.co_filename, frame.f_lineno or 0
        number = self._lines.get(place)
        if number is None:
            number = self._lines[place] = len(self._lines) + 1
            self._tell(number, *place)
        offsets[offset] = number
        return number
