"""Names that nobody takes back, and a /dev/shm of one's own, as small as a test wants it."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest

from pydsm.core import names

__all__ = ["new_name", "own_shm"]

_MOUNT = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o "$0" tmpfs /dev/shm && exec "$@"')


def new_name() -> str:
    """Return a file name that the leak check knows, but that no other program takes for a dead team's."""
    return f"alone.pydsm.{names.new_namespace()}"


def own_shm(options: str) -> list[str]:
    """Return what to put before a command so that it has a /dev/shm mounted with these options."""
    if not _is_permitted():
        pytest.skip("this system does not let a user mount a tmpfs in a namespace of one's own (unshare -rm)")
    return [*_MOUNT, options]


@functools.cache
def _is_permitted() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_MOUNT, "size=1m", "true"], capture_output=True, check=False).returncode == 0
