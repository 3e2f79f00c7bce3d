"""An interpreter that has py-dsm 1.1.1, which has pydsm's own import name."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from functools import cache
from importlib.metadata import version
from pathlib import Path

__all__ = ["OLD", "NoOldPythonError", "environment_of", "find", "versions"]

OLD = "1.1.1"
_ASK = """
import platform
from importlib.metadata import version
print(version("py-dsm"), platform.python_version(), version("numpy"), version("SharedArray"))
"""


class NoOldPythonError(Exception):
    """There is no interpreter with py-dsm 1.1.1; the message says why."""


def find(given: str | None, *, build: bool) -> str:
    """Return the given interpreter, or one in a venv of our own, which is built once.

    Raises
    ------
    NoOldPythonError
    """
    if given is not None:
        if versions(given)["py-dsm"] != OLD:
            raise NoOldPythonError(f"{given} has py-dsm {versions(given)['py-dsm']}, not {OLD}")
        return given
    if not build:
        raise NoOldPythonError(f"--no-old was given, and this needs an interpreter that has py-dsm {OLD}")
    folder = _folder()
    python = str(folder / "bin" / "python")
    if not (folder / "complete").exists():
        _build(folder, python)
    return python


def environment_of(python: str) -> dict[str, str]:
    """Return the variables to run an interpreter with: the old one must not find our packages."""
    ours = () if python == sys.executable else ("PYTHONPATH",)
    return {name: value for name, value in os.environ.items() if name not in ours}


@cache
def versions(python: str) -> dict[str, str]:
    """Return what an interpreter has."""
    asked = subprocess.run(
        [python, "-I", "-c", _ASK], capture_output=True, text=True, check=False, env=environment_of(python)
    )
    if asked.returncode:
        raise NoOldPythonError(f"{python} has no py-dsm: {asked.stderr.strip().splitlines()[-1]}")
    return dict(zip(("py-dsm", "Python", "numpy", "SharedArray"), asked.stdout.split(), strict=True))


def _folder() -> Path:
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tag = f"py{sys.version_info.major}{sys.version_info.minor}-numpy{version('numpy')}"
    return cache_home / "pydsm-benchmarks" / f"py-dsm-{OLD}-{tag}"


def _build(folder: Path, python: str) -> None:
    """Make the venv with the versions we run with ourselves, so that only py-dsm differs."""
    venv.create(folder, with_pip=True, clear=True)
    same = [f"{name}=={version(name)}" for name in ("numpy", "SharedArray")]
    # In two steps: py-dsm's and SharedArray's builds want numpy and setuptools at hand.
    for packages in (["setuptools", "wheel", same[0]], [same[1], f"py-dsm=={OLD}"]):
        command = [python, "-m", "pip", "install", "--quiet", "--no-build-isolation", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoOldPythonError(f"could not install {' '.join(packages)}: {done.stderr.strip()[-500:]}")
    (folder / "complete").touch()
