"""What may be combined with what is of the same kind: a number or an array, and an operation on it."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pydsm.core.ops import check_op

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WORD_BYTES", "Operand"]

WORD_BYTES: Final = 8
"""An operand of not more bytes than this fits in one word."""
_NUMBERS: Final = bool | int | float | complex

_Kind = Literal["Python", "NumPy", "array"]


@dataclass(frozen=True, slots=True)
class Operand:
    """One worker's part in a reduction.

    Attributes
    ----------
    values : numpy.ndarray
        Contiguous and in the machine's byte order.
    kind : {"Python", "NumPy", "array"}
        What the caller gave and gets back: a number of Python's or NumPy's, or an array.
    op : str

    Examples
    --------
    >>> mine, other = Operand.of(3, "add"), Operand.of(4, "add")
    >>> mine.combine([mine.of_word(mine.word()), mine.of_word(other.word())])
    7
    """

    values: NDArray[Any]
    kind: _Kind
    op: str

    @classmethod
    def of(cls, value: Any, op: str) -> Operand:
        """Return `value` as an operand of the operation, or raise TypeError, ValueError or OverflowError."""
        if isinstance(value, np.ndarray):
            kind: _Kind = "array"
        elif isinstance(value, np.generic):
            kind = "NumPy"
        elif isinstance(value, _NUMBERS):
            kind = "Python"
            value = _plain(value)
        else:
            raise TypeError(f"what is reduced is a number or an array, not {value!r}")
        values = np.asarray(value)
        _check(op, values.dtype)
        native = values.astype(values.dtype.newbyteorder("="), order="C", copy=False)
        return cls(native, kind, op)

    def __str__(self) -> str:
        values = self.values
        what = f"an array of shape {values.shape} and dtype" if self.kind == "array" else f"a number of {self.kind}'s,"
        return f"{what} {values.dtype}"

    def digest(self, call: str) -> int:
        """Return a number from 1 to 2**63 that says what a worker does, the same in every process."""
        return _digest(call, self.op, self.kind, self.values.dtype.str, self.values.shape)

    def word(self) -> int:
        """Return the values as a word."""
        return int.from_bytes(self.values.tobytes(), "little")

    def of_word(self, word: int) -> NDArray[Any]:
        """Return the values that another worker gives as a word."""
        content = word.to_bytes(WORD_BYTES, "little")[: self.values.nbytes]
        return np.frombuffer(content, self.values.dtype)

    def combine(self, parts: Sequence[NDArray[Any]]) -> Any:
        """Return what comes of all parts, in their order."""
        if self.kind == "Python" and self.values.dtype.kind in "bi":
            return self._combine_exactly([part.item() for part in parts])
        total = np.empty_like(self.values)
        self.combine_into(total, [part.reshape(total.shape) for part in parts])
        return self.result(total)

    def combine_into(self, total: NDArray[Any], parts: Sequence[NDArray[Any]]) -> None:
        """Set a total to what comes of parts; overflow and the like are silent, so that they are so for everybody."""
        ufunc = check_op(self.op)
        if len(parts) == 1:
            total[...] = parts[0]
            return
        with np.errstate(all="ignore"):
            ufunc(parts[0], parts[1], out=total)
            for part in parts[2:]:
                ufunc(total, part, out=total)

    def result(self, total: NDArray[Any]) -> Any:
        """Return a total as what the caller gave: of Python's, of NumPy's, or an array."""
        if self.kind == "array":
            return total
        return total.item() if self.kind == "Python" else total[()]

    def _combine_exactly(self, numbers: Sequence[int]) -> int:
        """Combine ints and bools as Python does, without a limit."""
        ufunc = check_op(self.op)
        return functools.reduce(lambda total, number: ufunc(total, number, dtype=object), numbers)


def _plain(number: bool | int | float | complex) -> np.generic:
    """Return a number of Python's as NumPy's, always of the same type."""
    if isinstance(number, bool):
        return np.bool_(number)
    if not isinstance(number, int):
        return np.float64(number) if isinstance(number, float) else np.complex128(number)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"an int to be reduced has 64 bits at most: {number} does not fit")
    return np.int64(number)


@functools.lru_cache(maxsize=256)
def _check(op: str, dtype: np.dtype[Any]) -> None:
    """Raise ValueError or TypeError if the operation is none, or does not make one such element of two."""
    ufunc = check_op(op)
    if dtype.hasobject or dtype.kind == "T":
        raise TypeError(f"elements of dtype {dtype} have no fixed size, so they cannot be reduced")
    try:
        made = ufunc(np.empty(0, dtype), np.empty(0, dtype)).dtype
    except TypeError:
        raise TypeError(f"{op!r} does not work on elements of dtype {dtype}") from None
    if made != dtype.newbyteorder("="):
        raise TypeError(f"{op!r} of two elements of dtype {dtype} is one of dtype {made}, so it cannot go on")


@functools.lru_cache(maxsize=256)
def _digest(*facts: Any) -> int:
    content = repr(facts).encode()  # not hashlib: it loads OpenSSL, half of what importing pydsm takes
    return (zlib.crc32(content) << 31 | zlib.adler32(content) >> 1) + 1
