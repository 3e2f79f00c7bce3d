from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from pydsm.native.region import Region, StripeLocks
from pydsm.native.twins import Lines, Twins

MESSAGE_KINDS: tuple[int, int, int]
MESSAGE_FLAGS: tuple[int, int]

Found = tuple[int, bytearray]

def next_ticket() -> int: ...

class Post:
    messages: dict[str, int]
    sizes: dict[str, int]
    pending: list[Any]
    def __init__(
        self,
        isend: Callable[..., Any],
        improbe: Callable[..., Any],
        any_source: int,
        byte: Any,
        status: Any,
        guard: AbstractContextManager[Any],
    ) -> None: ...
    def count(self, kind: str, size: int) -> int: ...
    def take_rounds(self) -> int: ...
    def send(self, rank: int, tag: int, kind: str, content: bytes) -> int: ...
    def flush(self) -> bool: ...
    def take(self, tag: int, eager: float = 0) -> Found | None: ...
    def serve(self, tag: int, eager: float, until: float, desks: dict[int, Desk]) -> tuple[int, Found | None]: ...

class Caller:
    depths: dict[tuple[int, int, int], int]
    def __init__(
        self,
        post: Post,
        lines: Lines,
        servers: Iterable[int],
        server_tag: int,
        tag: int,
        team: int,
        node: int,
        rank: int,
        *,
        take: Callable[[int, bytearray], None] | None,
        wait: Callable[[int, Twins, int], None],
        pull: Callable[[list[int]], None],
        settle: Callable[[], None],
    ) -> None: ...
    def enter(self, home: int, twins: Twins, stripe: int, shared: bool, eager: float) -> bool: ...
    def leave(self, home: int, twins: Twins, first: int, stop: int, written: bool) -> int: ...
    def count_left(self, array_id: int, stripe: int) -> bool: ...

class HomedRegion:
    region: Region
    timeout: float | None
    shared: bool
    entered: bool
    def __init__(
        self,
        region: Region,
        engine: Any,
        caller: Caller,
        twins: Twins,
        home: int,
        first: int,
        stop: int,
        here: bool,
        eager: float,
    ) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def held(self) -> bool: ...
    def __getattr__(self, name: str) -> Any: ...

class Desk:
    def __init__(
        self,
        post: Post,
        lines: Lines,
        home: int,
        applied: list[int],
        locks: dict[int, StripeLocks],
        twins: dict[int, Twins],
        held: dict[Any, Any],
        waited: dict[Any, Any],
        early: list[Any],
        *,
        give: Callable[[int, int, tuple[int, ...]], None],
        share: Callable[[tuple[int, int], int], None],
        go_on: Callable[[], None],
    ) -> None: ...
    def take(self, source: int, content: bytearray) -> bool: ...
