"""Distances between all pairs of points, each worker random rows: ``distances.py WORKERS POINTS``."""

import sys

import numpy as np

import pydsm


def measure(resource, n):
    P = pydsm.Cluster.getShared("distancesP")
    D = pydsm.Cluster.getShared("distancesD")
    for i in pydsm.Cluster.splitIndices(n, resource["id"], random=True):
        D[i] = np.sqrt(((P - P[i]) ** 2).sum(axis=1))


if __name__ == "__main__":
    workers, n = map(int, sys.argv[1:])
    with pydsm.Cluster(workers) as cluster:
        P = cluster.createShared("distancesP", (n, 3), float)
        D = cluster.createShared("distancesD", (n, n), float)
        P[:] = np.random.RandomState(0).rand(n, 3)
        cluster.runProcesses(measure, paras=(n,))
        print(repr(float(np.array(D).sum())))
