"""What the measurements were made on, and with."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, distribution, version

from benchmarks import oldpython

__all__ = ["facts"]

_PACKAGES = (
    "SharedArray",
    "posix_ipc",
    "fasteners",
    "filelock",
    "atomics",
    "UltraDict",
    "joblib",
    "ray",
    "numba",
    "mpi4py",
    "matplotlib",
)


def facts(old_python: str | None) -> dict[str, str]:
    """Return machine, kernel and versions, in the order to print them."""
    found = {
        "cpu": _cpu_model(),
        "cpus": f"{len(os.sched_getaffinity(0))} to run on, of {os.cpu_count()}",
        "load before the start": f"{os.getloadavg()[0]:.2f}",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": version("numpy"),
        "py-dsm": _version("py-dsm"),
        **{name: _version(name) for name in _PACKAGES},
    }
    if _is_editable("py-dsm"):
        found["py-dsm"] += " (an editable install: its import hook adds some milliseconds to every start of Python)"
    if old_python is not None:
        old = oldpython.versions(old_python)
        found["beside it"] = ", ".join(f"{name} {each}" for name, each in old.items())
    return found


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _is_editable(name: str) -> bool:
    try:
        origin = distribution(name).read_text("direct_url.json")
    except PackageNotFoundError:
        return False
    return origin is not None and json.loads(origin).get("dir_info", {}).get("editable", False)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
