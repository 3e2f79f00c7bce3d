"""Names in the shared-memory directory, touched only after looking.

Files are opened without following links, and believed only if they are regular files of
our own user: anybody may put anything into a world-writable directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

from pydsm.errors import NoRoomError, SegmentError

__all__ = ["DIRECTORY", "check_room", "exists", "link", "listing", "new_file", "open_checked", "status", "unlink"]

DIRECTORY: Final = "/dev/shm"
_PRIVATE: Final = 0o600
_SMALL: Final = 1 << 20


def new_file(size: int) -> int:
    """Return the descriptor of a private file of `size` reserved bytes without a name.

    The space is reserved, so that touching the memory later cannot fail; the file
    vanishes with the descriptor unless it is linked.

    Raises
    ------
    NoRoomError
        There is not that much room.
    """
    check_room(size)
    descriptor = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _PRIVATE)
    try:
        os.fchmod(descriptor, _PRIVATE)  # whatever the umask
        if size:
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        os.close(descriptor)
        raise NoRoomError(
            f"no room for {size} bytes in {DIRECTORY}: {error.strerror}", wanted=size, free=_free()
        ) from None
    return descriptor


def check_room(size: int) -> None:
    """Raise NoRoomError if `size` more bytes of shared memory would not fit."""
    if size <= _SMALL:
        return  # the reservation itself tells
    free = _free()
    if size > free:
        raise NoRoomError(
            f"an array of {size} bytes does not fit: {DIRECTORY} and memory have {free} bytes free",
            wanted=size,
            free=free,
        )


def _free() -> int:
    space = os.statvfs(DIRECTORY)
    rooms = [space.f_bavail * space.f_frsize]
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as lines:
        rooms += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):
        rooms.append(_number("/sys/fs/cgroup/memory.max") - _number("/sys/fs/cgroup/memory.current"))
    return max(0, min(rooms))


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())  # "max", no limit, is a ValueError


def link(descriptor: int, name: str) -> None:
    """Give a file without a name its name; FileExistsError if it is taken."""
    directory = os.open(DIRECTORY, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # linkat follows /proc's link only if told to, which os.link does with directory descriptors
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)
    finally:
        os.close(directory)


def open_checked(name: str, *, readonly: bool = False) -> int:
    """Open a file of our own by name.

    Raises
    ------
    FileNotFoundError
        There is none.
    SegmentError
        It is a link, no regular file, or belongs to another user.
    """
    flags = os.O_RDONLY if readonly else os.O_RDWR
    try:
        descriptor = os.open(path_of(name), flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SegmentError(f"{path_of(name)} cannot be opened: {error.strerror}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise SegmentError(f"{path_of(name)} is no regular file of user {os.geteuid()}")
    return descriptor


def path_of(name: str) -> str:
    """Return the path of a name."""
    return f"{DIRECTORY}/{name}"


def status(name: str) -> os.stat_result:
    """Return what the directory has under the name."""
    return os.stat(path_of(name), follow_symlinks=False)


def exists(name: str) -> bool:
    """Say whether the name is taken."""
    return os.path.lexists(path_of(name))


def unlink(name: str) -> bool:
    """Remove a name; False if it was gone already."""
    try:
        os.unlink(path_of(name))
    except FileNotFoundError:
        return False
    return True


def listing() -> list[str]:
    """Return all names."""
    return os.listdir(DIRECTORY)
