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
from pydsm.mpi.guard import Reaper, be_watched, dismiss_watch, library_files, watch_server
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
    nodes = _begin(world, program)
    if nodes is None:
        world.finish()
        return 2
    pids, reaper = _watch(world, nodes)
    code = 0
    if reaper is not None:
        server = Server(world, nodes, pids, reaper)
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


def _begin(world: World, program: str) -> Nodes | None:
    """Return which ranks have which nodes; or None, when rank 0 has said why there is nothing to run."""
    nodes, problem = None, ""
    if not os.path.isfile(program):
        problem = f"there is no program {program!r} on {platform.node()}"
    pretended = os.environ.get("PYDSM_MPI_NODES")
    by_memory = world.by_memory()
    try:
        nodes = Nodes.read(pretended, world.size) if pretended else Nodes.of(by_memory)
    except ValueError as error:
        problem = problem or str(error)
    problems = [each for each in world.gather(problem) if each]
    if problems and world.rank == 0:
        sys.stderr.write(f"pydsm: {problems[0]}\n")
    return None if problems else nodes


def _watch(world: World, nodes: Nodes) -> tuple[list[int], Reaper | None]:
    """Let the reaper of each node watch its ranks, and that of rank 0 all; return all pids, and a server's reaper."""
    processes = world.gather((os.getpid(), platform.node()))
    files = world.gather(library_files())
    pids = [pid for pid, _ in processes]
    node = next(ranks for ranks in nodes.ranks if world.rank in ranks)
    reaper = None
    if node[0] == world.rank:
        mine = range(world.size) if world.rank == 0 else node
        labels = {rank: _label(nodes, rank, *processes[rank]) for rank in mine}
        used = set().union(*(files[rank] for rank in node))
        reaper = Reaper(labels, {rank: pids[rank] for rank in node}, len(nodes.ranks), used)
    where = world.gather(None if reaper is None else reaper.whereabouts)
    chief = be_watched(world.rank, where[node[0]], where[0])
    linked = None not in world.gather(chief)
    if reaper is not None:
        if linked and chief:
            reaper.tell(f"chief {chief} {where[0].port} {where[0].token}")
        reaper.tell("linked" if linked else "alone")
    world.gather(None)  # all of them know
    return pids, reaper


def _label(nodes: Nodes, rank: int, pid: int, host: str) -> str:
    """Return what to call a rank."""
    workers = [rank for ranks in nodes.ranks for rank in ranks[1:]]
    what = "the server" if rank else "the program"
    if rank in workers:
        what = f"worker {workers.index(rank)}"
    return f"{what} (rank {rank} of MPI, pid {pid} on {host})"


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
