from typing import Any

from numpy.typing import NDArray

class UndoRecord:
    def __init__(
        self, word: NDArray[Any], number: int, pieces: list[tuple[NDArray[Any], Any, NDArray[Any]]]
    ) -> None: ...
    def arm(self) -> None: ...
    def end(self, failed: bool) -> None: ...
