from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydsm.native.post import Post
from pydsm.native.region import Region
from pydsm.native.twins import Lines, Twins

def next_ticket() -> int: ...

class Caller:
    lines: Lines
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
        eager: float,
        *,
        take: Callable[[int, bytearray], None] | None,
        answer: Callable[[int, int], Any],
        wait: Callable[[int, int], Any],
        withdraw: Callable[[int, int, int, list[int], bool], None],
        pull: Callable[[list[int]], None],
        settle: Callable[[], None],
    ) -> None: ...
    def enter(self, home: int, twins: Twins, stripe: int, shared: bool) -> bool: ...
    def leave(self, home: int, twins: Twins, first: int, stop: int, written: bool) -> int: ...
    def count_left(self, array_id: int, stripe: int) -> bool: ...
    def fetch(self, home: int, twins: Twins, first: int, memory: NDArray[np.uint8]) -> int | None: ...
    def store(self, home: int, twins: Twins, first: int, memory: NDArray[np.uint8]) -> bool: ...

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
    ) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def held(self) -> bool: ...
    def __getattr__(self, name: str) -> Any: ...
