"""Starting a program on the ranks of an MPI job: ``mpiexec -n 5 python -m pydsm program.py``.

Rank 0 runs the program; the first rank of every other node serves it, the rest work.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable

from pydsm.crew import enter_job
from pydsm.mpi.guard import Reaper, dismiss_watch, watch_server
from pydsm.mpi.job import MpiJob
from pydsm.mpi.nodes import Nodes
from pydsm.mpi.server import Server
from pydsm.mpi.work import WorkerRank
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
    if nodes.is_server(world.rank):
        server = Server(world, nodes, pids, _reaper(world, nodes, pids))
        if world.rank == 0:
            code = _lead(world, nodes, server, run)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for rank 0
            server.serve(lambda: server.over)
        server.reaper.dismiss()
        for rank in server.workers:
            world.send(rank, WORKER, ("bye",))
    else:
        watch_server(pids[nodes.server_of(world.rank)])
        WorkerRank(world, nodes.server_of(world.rank)).serve()
        dismiss_watch()
    world.finish()
    return code


def _reaper(world: World, nodes: Nodes, pids: list[int]) -> Reaper:
    """Start who is left when all ranks of this node are dead."""
    mine = next(ranks for ranks in nodes.ranks if ranks[0] == world.rank)
    where = platform.node()
    workers = [rank for ranks in nodes.ranks for rank in ranks[1:]]
    labels = {
        pids[rank]: f"worker {workers.index(rank)} (rank {rank} of MPI, pid {pids[rank]} on {where})"
        for rank in mine[1:]
    }
    what = "the program" if world.rank == 0 else "the server"
    labels[pids[world.rank]] = f"{what} (rank {world.rank} of MPI, pid {pids[world.rank]} on {where})"
    return Reaper(labels)


def _lead(world: World, nodes: Nodes, server: Server, run: Callable[[], None]) -> int:
    """Run the program; return its exit code."""
    job = MpiJob(world, nodes, server)
    if nodes.available:  # else the program runs as without MPI, alone
        enter_job(job)
    code = 0
    try:
        run()
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(request.code is not None)
        if isinstance(request.code, str):
            sys.stderr.write(f"{request.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    enter_job(None)
    job.end(code)
    return code
