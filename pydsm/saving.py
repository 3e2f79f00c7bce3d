"""Arrays in one file of NumPy's (``.npz``), to go on from there another day."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["load_arrays", "save_arrays"]


def save_arrays(file: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; the file is the old one or the new one, whole, at any time."""
    path = os.fspath(file)
    beside = f"{path}.{os.urandom(4).hex()}"
    try:
        with open(beside, "xb") as output:
            np.savez(output, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
            output.flush()
            os.fsync(output.fileno())
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def load_arrays(file: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Fill arrays with what was saved under their names, or none of them.

    Raises
    ------
    ValueError
        The file is none of these, has not all of the arrays, or has one of another shape or dtype.
    """
    import zipfile  # with what it brings, a tenth of the time of `import pydsm`

    try:
        with np.load(file, allow_pickle=False) as saved:
            found = {name: saved[name] for name in arrays if name in saved}
    except (zipfile.BadZipFile, EOFError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(file)!r} has no saved arrays: {error}") from None
    for name, array in arrays.items():
        if name not in found:
            raise ValueError(f"{os.fspath(file)!r} has no array {name!r}")
        if (found[name].shape, found[name].dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"array {name!r} of shape {array.shape} and dtype {array.dtype} cannot be loaded from "
                f"{os.fspath(file)!r}: that one is of shape {found[name].shape} and dtype {found[name].dtype}"
            )
    for name, array in arrays.items():
        whole = np.ndarray.view(array) if array.flags.writeable else _writable(array)
        whole[...] = found[name]


def _writable(array: Any) -> Any:
    """Return a guarded array so that it can be filled."""
    view = array.view()
    view.flags.writeable = True
    return view
