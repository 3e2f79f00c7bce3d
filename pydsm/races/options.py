"""What the detector may be asked for: a mode, or the words of ``PYDSM_RACE``."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MODES", "RaceOptions", "read_options"]

MODES: Final = ("happens-before", "predict", "strict")
_FORM: Final = "PYDSM_RACE='predict halt_on_error=1 log_path=FILE exitcode=66 suppressions=FILE'"


@dataclass(frozen=True, slots=True)
class RaceOptions:
    """How to look for races.

    Attributes
    ----------
    mode : {"happens-before", "predict", "strict"}
    halt_on_error : bool
        Raise in the worker that finds a race.
    log_path : str
        File that gets a line of JSON for each.
    exitcode : int
        Of ``pydsm race``, if any was found.
    suppressions : str
        File with patterns of what is not reported.
    """

    mode: str = "happens-before"
    halt_on_error: bool = False
    log_path: str = ""
    exitcode: int = 66
    suppressions: str = ""

    def as_text(self) -> str:
        """Return what says the same in ``PYDSM_RACE``."""
        words = [self.mode, f"halt_on_error={int(self.halt_on_error)}", f"exitcode={self.exitcode}"]
        paths = {"log_path": self.log_path, "suppressions": self.suppressions}
        return " ".join(words + [shlex.quote(f"{name}={path}") for name, path in paths.items() if path])


def read_options(check: Any) -> RaceOptions:
    """Read what a team was given, and the environment's options for what it does not say.

    Examples
    --------
    >>> read_options("predict halt_on_error=1").mode
    'predict'
    """
    if check is True:
        check = "happens-before"
    if not isinstance(check, str):
        raise TypeError(f"check is one of {', '.join(map(repr, MODES))}, not {check!r}")
    said = _split(os.environ.get("PYDSM_RACE", ""))
    said |= _split(check)
    if said.setdefault("mode", "happens-before") not in MODES:
        raise ValueError(f"check is one of {', '.join(map(repr, MODES))}, not {said['mode']!r}")
    return RaceOptions(
        said["mode"],
        _truth(said.get("halt_on_error", "0")),
        _path(said.get("log_path", "")),
        _exit_code(said.get("exitcode", "66")),
        _path(said.get("suppressions", "")),
    )


def _split(text: str) -> dict[str, str]:
    said = {}
    for word in shlex.split(text):
        key, equals, value = word.partition("=")
        if not equals:
            key, value = ("mode", word) if word != "1" else ("mode", MODES[0])
        elif key not in RaceOptions.__dataclass_fields__:
            raise ValueError(f"race checks have no option {key!r}: {_FORM}")
        said[key] = value
    return said


def _truth(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError(f"halt_on_error is 0 or 1, not {value!r}")
    return value == "1"


def _exit_code(value: str) -> int:
    if not value.isdecimal() or int(value) > 255:
        raise ValueError(f"exitcode is a number from 0 to 255, not {value!r}")
    return int(value)


def _path(value: str) -> str:
    return os.path.abspath(value) if value else ""
