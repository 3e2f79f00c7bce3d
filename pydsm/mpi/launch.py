"""Starting a program on the ranks of an MPI job: ``mpiexec -n 5 python -m pydsm program.py``.

Rank 0 runs the program; the first rank of every other node serves it, the rest work.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from pydsm.crew import enter_job
from pydsm.mpi.nodes import Nodes
from pydsm.mpi.world import WORKER, World

__all__ = ["main"]


def main(program: str, run: Callable[[], None]) -> int:
    """Be one of the ranks; return the exit code.

    Parameters
    ----------
    program : str
        Path of the program; modules beside it can be imported by all ranks.
    run : callable
        Runs the program, on rank 0.
    """
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    world = World()
    pretended = os.environ.get("PYDSM_MPI_NODES")
    nodes = Nodes.read(pretended, world.size) if pretended else Nodes.of(world.by_memory())
    pids = world.gather(os.getpid())
    code = 0
    if world.rank == 0:
        code = _lead(world, nodes, pids, run)
    elif nodes.is_server(world.rank):
        _serve(world, nodes, pids)
    else:
        from pydsm.mpi.work import WorkerRank

        WorkerRank(world, nodes.server_of(world.rank)).serve()
    world.finish()
    return code


def _serve(world: World, nodes: Nodes, pids: list[int]) -> None:
    import signal

    from pydsm.mpi.server import Server

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for rank 0
    server = Server(world, nodes, pids)
    server.serve(lambda: server.over)
    _dismiss(world, nodes)


def _lead(world: World, nodes: Nodes, pids: list[int], run: Callable[[], None]) -> int:
    """Run the program; return its exit code."""
    from pydsm.mpi.job import MpiJob
    from pydsm.mpi.server import Server

    job = MpiJob(world, nodes, Server(world, nodes, pids))
    if nodes.available:  # else the program runs as without MPI, alone
        enter_job(job)
    code = 0
    try:
        run()
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(request.code is not None)
        if isinstance(request.code, str):
            print(request.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    enter_job(None)
    job.end(code)
    _dismiss(world, nodes)
    return code


def _dismiss(world: World, nodes: Nodes) -> None:
    """Let the workers of this server's node leave."""
    for ranks in nodes.ranks:
        if ranks[0] == world.rank:
            for rank in ranks[1:]:
                world.send(rank, WORKER, ("bye",))


