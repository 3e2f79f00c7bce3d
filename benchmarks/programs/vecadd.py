"""Add two vectors, each worker a share: ``vecadd.py WORKERS LENGTH``."""

import sys

import numpy as np

import pydsm


def add(resource, n):
    A = pydsm.Cluster.getShared("vecaddA")
    B = pydsm.Cluster.getShared("vecaddB")
    C = pydsm.Cluster.getShared("vecaddC")
    mine = pydsm.Cluster.splitIndices(n, resource["id"], random=False)
    C[mine] = A[mine] + B[mine]


if __name__ == "__main__":
    workers, n = map(int, sys.argv[1:])
    with pydsm.Cluster(workers) as cluster:
        A = cluster.createShared(name="vecaddA", shape=n, dataType=int)
        B = cluster.createShared("vecaddB", n, int)
        C = cluster.createShared("vecaddC", n, int)
        A[:] = np.arange(n)
        B[:] = np.arange(n)
        B += 1
        cluster.runProcesses(add, paras=(n,))
        print(int(np.array(C).sum()))
