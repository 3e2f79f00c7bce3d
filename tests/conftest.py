"""Every test is checked for leaks: names in shared memory, descriptors, children."""

from __future__ import annotations

import gc
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pydsm.core import names
from pydsm.native import held
from pydsm.sync import namespace as namespaces

settings.register_profile(
    "default",
    deadline=None,
    max_examples=80,
    derandomize=True,  # a red test means something, every time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")

_PREFIX = f"t{os.getpid()}"


@pytest.fixture(autouse=True, scope="session")
def _own_names() -> Iterator[None]:
    """Give all namespaces of this run a common prefix, so that leaks are told from other programs' names."""
    original = names.new_namespace
    names.new_namespace = lambda: f"{_PREFIX}-{secrets.token_hex(4)}"
    os.environ["PYDSM_NAMESPACE"] = f"{_PREFIX}-default"
    yield
    names.new_namespace = original


def our_names() -> list[str]:
    """Return what this test run has in shared memory."""
    return sorted(file for file in os.listdir("/dev/shm") if f"pydsm.{_PREFIX}-" in file)


def _children() -> set[str]:
    found = set()
    for task in os.listdir("/proc/self/task"):
        try:
            pids = Path(f"/proc/self/task/{task}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # a thread that was joined is there a little longer
            continue
        for pid in pids:
            command = Path(f"/proc/{pid}/cmdline").read_text()
            if "forkserver" not in command and "resource_tracker" not in command:  # these serve to the end
                found.add(f"{pid} {command}")
    return found


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "pydsm" in target or "pidfd" in target:
            found[number] = target
    return found


@pytest.fixture(autouse=True, scope="module")
def _collect_only_what_is_new() -> None:
    """Let the collections after each test look at what this file's tests made, and not at all modules again.

    With 3,400 tests that is most of what these collections cost.  What is alive between two
    files is never collected: it belongs to modules, caches and pytest.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    threads = threading.active_count()
    yield
    gc.collect()
    default = namespaces._open.get(f"{_PREFIX}-default")
    if default is not None:
        default.close()
        del default
    gc.collect()
    assert our_names() == [], "names left in shared memory"
    assert _children() == set(), "children left"
    assert _descriptors() == {}, "descriptors left"
    assert held() == 0, "rows or locks still held"
    assert threading.active_count() <= threads or "joblib" in request.node.name, "threads left"
