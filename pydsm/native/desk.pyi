from collections.abc import Callable
from typing import Any

from pydsm.native.post import Post
from pydsm.native.region import StripeLocks
from pydsm.native.twins import Lines, Twins

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
        share: Callable[[tuple[int, int], int, int], None],
        go_on: Callable[[], None],
    ) -> None: ...
    def take(self, source: int, content: bytearray) -> bool: ...
