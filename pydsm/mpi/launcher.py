"""What the environment says of who started this process: a launcher of MPI ranks, or nobody.

Nothing here needs MPI, so that a program that runs without it is not made to load it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from pydsm.ipc.cpus import available_cpus

__all__ = ["command_for", "is_launched", "launch", "promised_size"]

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


def launch(program: Sequence[str], workers: int | None, hosts: Sequence[str], launcher: str) -> int:
    """Start a program on ranks; return the launcher's exit code.

    Raises
    ------
    FileNotFoundError
        There is no such launcher.
    """
    first, *options = shlex.split(launcher)
    beside = os.path.join(os.path.dirname(sys.executable), first)
    found = beside if os.path.exists(beside) else shutil.which(first)
    if found is None:
        raise FileNotFoundError(
            f"there is no {first!r} beside this Python or on the path; pip install '.[mpi]' brings MPICH's mpiexec"
        )
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    is_open = "Open MPI" in said.stdout or "PRTE" in said.stdout
    named = [host for host in hosts if host]
    command = command_for([found, *options], is_open, program, workers, named)
    ranks = subprocess.Popen(command)
    while True:
        try:
            return ranks.wait()
        except KeyboardInterrupt:  # the launcher had it, too, and says what comes of it
            continue


def command_for(
    launcher: Sequence[str], is_open: bool, program: Sequence[str], workers: int | None, hosts: Sequence[str]
) -> list[str]:
    """Return the command that starts a program: so many workers, and one rank that serves each host or pretended node.

    Examples
    --------
    >>> command_for(["mpiexec"], False, ["p.py"], 4, ["a", "b"])[:5]
    ['mpiexec', '-n', '6', '-hosts', 'a:3,b:3']
    >>> command_for(["mpiexec"], True, ["p.py"], 3, ["a", "b"])[3:5]
    ['--host', 'a:3,b:2']
    """
    nodes = len(hosts) or os.environ.get("PYDSM_MPI_NODES", "").count("|") + 1
    wanted = nodes * available_cpus() if workers is None else workers
    if wanted < 1:
        raise ValueError(f"a program needs at least one worker, not {wanted}")
    shares = [wanted // nodes + (place < wanted % nodes) + 1 for place in range(nodes)]
    where = ",".join(f"{host}:{share}" for host, share in zip(hosts, shares, strict=False))
    options = ["--host" if is_open else "-hosts", where] if hosts else []
    if is_open:
        options += ["--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--mca", "osc", "^ucx"]
        options += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    ranks = str(sum(shares))
    return [*launcher, "-n", ranks, *options, sys.executable, "-P", "-m", "pydsm", "run", *program]
