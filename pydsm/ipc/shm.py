"""Names in the shared-memory directory, touched only after looking.

Files are opened without following links, and believed only if they are regular files of
our own user, or of a group that shares them: anybody may put anything into a world-writable
directory.

Who may write a file may also shrink it, and then the next touch of its pages is a SIGBUS,
which nothing cheap prevents (seals are for files that never have a name).  That is why a
file is believed only if nobody but its owner, or the group, can do so, and why its pages
are reserved before anything is written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Final, TypedDict

from pydsm.errors import NoRoomError, SegmentError

__all__ = [
    "DIRECTORY",
    "MAPPINGS",
    "Permissions",
    "check_room",
    "describe",
    "exists",
    "explain",
    "link",
    "listing",
    "new_file",
    "open_checked",
    "open_found",
    "open_path",
    "path_of",
    "status",
    "unlink",
]

DIRECTORY: Final = "/dev/shm"
MAPPINGS: Final = "the memory, address space or mappings (vm.max_map_count) of this process"
_PRIVATE: Final = 0o600
_SHARED: Final = 0o060
_SMALL: Final = 1 << 20
_MEMORY: Final = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)
_CGROUPS: Final = {  # where they are; the limit, the use, and in that the file cache, which the kernel gives back
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file")),
    "memory": (  # version 1
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
}


class Permissions(TypedDict):
    """Who may use a file: its mode, and its group (-1: this process's)."""

    mode: int
    group: int


def new_file(
    size: int,
    mode: int = _PRIVATE,
    group: int = -1,
    prepare: Callable[[int, int], None] | None = None,
    *,
    reserve: bool = True,
) -> int:
    """Return the descriptor of a file of `size` reserved bytes without a name.

    The space is reserved, so that touching the memory later cannot fail (unless told not to `reserve` it: then
    there only has to be as much now); the file vanishes with the descriptor unless it is linked.  What `prepare`
    does with the descriptor and the size comes before that.

    Raises
    ------
    NoRoomError
        There is not that much room.
    """
    check_room(size)
    try:
        descriptor = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _PRIVATE)
        try:
            if group not in (-1, os.getegid()):
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)  # whatever the umask
            if prepare is not None:
                prepare(descriptor, size)
            if not reserve:
                os.ftruncate(descriptor, size)
            elif size:
                os.posix_fallocate(descriptor, 0, size)
        except BaseException:  # a signal's handler may raise too
            os.close(descriptor)
            raise
    except OSError as error:
        raise explain(error, size) from None
    return descriptor


def explain(error: OSError, size: int = 0, where: str = DIRECTORY) -> Exception:
    """Return what to raise for an error of the system: a MemoryError if there is no room, often itself."""
    if error.errno in _FULL:
        return NoRoomError(f"no room for {size} bytes in {where}: {error.strerror}", wanted=size, free=_free())
    if error.errno in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        text = f"{error.strerror} (this process may have {limit}): shared memory needs one while it is made or opened"
        return OSError(error.errno, text)
    return error


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
    rooms = [sys.maxsize]
    space = os.statvfs(DIRECTORY)
    if space.f_blocks:  # 0: without a limit
        rooms.append(space.f_bavail * space.f_frsize)
    with contextlib.suppress(OSError):
        lines = _read("/proc/meminfo").splitlines()
        rooms += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError):
        rooms += _head_rooms(min(rooms))
    return max(0, min(rooms))


def _upwards(path: str) -> Iterator[str]:
    """Yield a folder and those it is in; `pathlib` would do, and takes longer to import than all of this module."""
    yield path
    while path not in ("", "/"):
        path = os.path.dirname(path)
        yield path


def _head_rooms(enough: int) -> Iterator[int]:
    """Yield what the memory cgroup of this process, and each one above it, has left."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in _CGROUPS:
            root, limit, used, cache = _CGROUPS[controllers]
            # A container shows its own cgroup at the root, whatever the path.
            for folder in _upwards(path):
                with contextlib.suppress(OSError, ValueError):  # "max", no limit, is a ValueError
                    allowed = int(_read(f"{root}{folder}/{limit}"))
                    if allowed < _MEMORY:  # else there is none; and to count what is used is slow
                        left = allowed - int(_read(f"{root}{folder}/{used}"))
                        yield left if left >= enough else left + _sum_of(f"{root}{folder}/memory.stat", cache)


def _sum_of(path: str, wanted: tuple[str, ...]) -> int:
    entries = (line.split() for line in _read(path).splitlines())
    return sum(int(number) for name, number in entries if name in wanted)


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third of the cost of a file object
    try:
        return os.fsdecode(os.read(descriptor, 1 << 16))
    finally:
        os.close(descriptor)


def link(descriptor: int, name: str) -> None:
    """Give a file without a name its name; FileExistsError if it is taken."""
    # linkat follows /proc's link only if told to, which os.link does if it is given a directory;
    # an absolute path does not care which one.
    try:
        os.link(f"/proc/self/fd/{descriptor}", path_of(name), src_dir_fd=descriptor, follow_symlinks=True)
    except OSError as error:
        raise explain(error) from None


def open_checked(name: str, *, readonly: bool = False, shared: bool = False) -> int:
    """Open a file of our own by name, or with `shared` one that another user shares with our group.

    Raises
    ------
    FileNotFoundError
        There is none.
    SegmentError
        It is a link, no regular file, or belongs to another user.
    """
    return open_found(name, readonly=readonly, shared=shared)[0]


def open_found(name: str, *, readonly: bool = False, shared: bool = False) -> tuple[int, os.stat_result]:
    """Open a file as `open_checked` does; return also what the system says of it."""
    descriptor = open_path(path_of(name), os.O_NOFOLLOW, readonly=readonly)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (found.st_uid != os.geteuid() and not (shared and _is_shared(found))):
            owner = f"user {os.geteuid()}" + " or of a group that shares it" * shared
            raise SegmentError(f"{path_of(name)} is no regular file of {owner}")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found


def open_path(path: str, flags: int = 0, *, readonly: bool) -> int:
    """Open an existing file, whatever it is, without waiting (a FIFO would wait for a writer).

    Raises
    ------
    FileNotFoundError, SegmentError
    """
    flags |= os.O_RDONLY if readonly else os.O_RDWR
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        explained = explain(error)
        if explained is not error:
            raise explained from None
        raise SegmentError(f"{path} cannot be opened: {error.strerror}") from None


def _is_shared(found: os.stat_result) -> bool:
    """Say whether a file is for a group that this process is in, and for nobody else."""
    private = found.st_mode & (_SHARED | stat.S_IRWXO) == _SHARED
    return private and (found.st_gid == os.getegid() or found.st_gid in os.getgroups())


def path_of(name: str) -> str:
    """Return the path of a name."""
    return f"{DIRECTORY}/{name}"


def status(name: str) -> os.stat_result:
    """Return what the directory has under the name."""
    return os.stat(path_of(name), follow_symlinks=False)


def describe(path: str, *, follow: bool = False) -> tuple[int, ...] | None:
    """Return which file a path means, how long it is and whose; None if there is none.

    As long as a file is mapped, no other one gets its number.
    """
    try:
        return os.stat(path, follow_symlinks=follow)[:7]  # mode, number, device, links, user, group, length
    except OSError:
        return None


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
    try:
        return os.listdir(DIRECTORY)
    except OSError as error:
        raise explain(error) from None
