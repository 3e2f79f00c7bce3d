"""Let heat spread along a rod, with a barrier after every step: ``heat.py WORKERS STEPS``."""

import sys

import numpy as np

import pydsm

LENGTH = 4000


def spread(resource, workers, steps):
    here = pydsm.Cluster.getShared("heatA")
    there = pydsm.Cluster.getShared("heatB")
    start = max(1, resource["id"] * LENGTH // workers)
    stop = min(LENGTH - 1, (resource["id"] + 1) * LENGTH // workers)
    for _ in range(steps):
        there[start:stop] = (here[start - 1 : stop - 1] + 2 * here[start:stop] + here[start + 1 : stop + 1]) / 4
        pydsm.Cluster.barrier()
        here, there = there, here


if __name__ == "__main__":
    workers, steps = map(int, sys.argv[1:])
    with pydsm.Cluster(workers) as cluster:
        A = cluster.createShared("heatA", LENGTH, float)
        B = cluster.createShared("heatB", LENGTH, float)
        for rod in (A, B):
            rod[: LENGTH // 3] = 1
        cluster.runProcesses(spread, paras=(workers, steps))
        end = np.array(B if steps % 2 else A)
        print(repr(float((end * np.arange(LENGTH)).sum())), repr(float((end**2).sum())))
