from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

def bind(
    array_class: type,
    member: object,
    find_rows: Callable[[Any], Rows],
    read_irregular: Callable[[Any, Rows, Any], tuple[int, int, NDArray[np.intp] | None]],
) -> None: ...
def held() -> int: ...
def locked(
    self: Any, rows: Any = None, *, shared: bool = False, timeout: float | None = None, fence: bool = False
) -> Region: ...

class StripeLocks:
    policy: Any
    stripes: int
    spins: int
    acquisitions: int
    contended: int
    def __init__(
        self, stripes: NDArray[Any], lots: NDArray[Any], *, space: int, policy: object, spins: int
    ) -> None: ...
    def me(self) -> int: ...
    def try_take(self, stripe: int, me: int, shared: bool) -> bool: ...
    def holder(self, stripe: int) -> int: ...
    def sharers(self, stripe: int) -> int: ...
    def waiters(self, stripe: int) -> int: ...
    def evict(self, stripe: int, me: int) -> None: ...

class Rows:
    locks: StripeLocks
    count: int
    stride: int
    origin: int
    step: int
    span: int
    block: int
    guarded: bool
    def __init__(
        self,
        locks: StripeLocks,
        array: NDArray[Any],
        *,
        origin: int,
        step: int,
        span: int,
        block: int,
        guarded: bool,
    ) -> None: ...

class Region:
    key: Any
    shared: bool
    timeout: float | None
    locks: StripeLocks
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def open_view(self) -> Any: ...
    def close_view(self) -> None: ...
    def stripes(self) -> NDArray[np.intp]: ...
    def held(self) -> bool: ...
    def widened(self, stripes: NDArray[np.intp]) -> Region: ...

class StripeLock:
    words: StripeLocks
    def __init__(self, locks: StripeLocks) -> None: ...
    def acquire_until(self, deadline: float | None) -> None: ...
    def release(self) -> None: ...
    def held(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
