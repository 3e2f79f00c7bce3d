"""What the environment says of who started this process: a launcher of MPI ranks, or nobody.

Nothing here needs MPI, so that a program that runs without it is not made to load it.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["is_launched", "promised_size"]

_SIZES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_SIZE")
"""What launchers say how many ranks there are; Slurm's says it to programs that are no ranks, too."""
_RANKS: Final = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_RANK")


def is_launched() -> bool:
    """Say whether a launcher has started this process as a rank of an MPI job."""
    return any(name in os.environ for name in _RANKS)


def promised_size() -> int:
    """Return how many ranks the launcher says that there are, 0 if it says nothing."""
    for name in _SIZES:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return 0
