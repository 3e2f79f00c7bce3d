from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from pydsm.native.region import StripeLocks
from pydsm.native.twins import Lines, Twins

KINDS: tuple[int, int, int]
FLAGS: tuple[int, int]

Found = tuple[int, bytearray]

class Post:
    messages: dict[str, int]
    bytes: dict[str, int]
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
    def count(self, kind: str, size: int) -> None: ...
    def send(self, rank: int, tag: int, kind: str, content: bytes) -> int: ...
    def flush(self) -> bool: ...
    def take(self, tag: int, eager: float = 0) -> Found | None: ...
    def serve(self, tag: int, eager: float, until: float, desks: dict[int, Desk]) -> tuple[int, Found | None]: ...

class Caller:
    def __init__(
        self, post: Post, lines: Lines, servers: Iterable[int], server_tag: int, tag: int, team: int, node: int, rank: int
    ) -> None: ...
    def ask(self, home: int, twins: Twins, stripe: int, shared: bool, ticket: int) -> None: ...
    def await_grant(self, home: int, twins: Twins, ticket: int, eager: float) -> Found | list[int] | None: ...
    def give(self, home: int, twins: Twins, first: int, stop: int, written: bool, given: list[int]) -> None: ...

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
