from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

MESSAGE_KINDS: dict[str, int]
MESSAGE_FLAGS: tuple[int, int]

Found = tuple[int, bytearray]

class _Takes(Protocol):
    def take(self, source: int, content: bytearray) -> bool: ...

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
    def serve(self, tag: int, eager: float, until: float, desks: Mapping[int, _Takes]) -> tuple[int, Found | None]: ...
