"""Multiply two matrices, each worker random rows: ``matmul.py WORKERS SIZE``."""

import sys

import numpy as np

import pydsm


def multiply(resource, n):
    A = pydsm.Cluster.getShared("matmulA")
    X = pydsm.Cluster.getShared("matmulX")
    Y = pydsm.Cluster.getShared("matmulY")
    mine = pydsm.Cluster.splitIndices(n, resource["id"], random=True)
    Y[mine] = np.matmul(A[mine], X)


if __name__ == "__main__":
    workers, n = map(int, sys.argv[1:])
    with pydsm.Cluster(workers) as cluster:
        A = cluster.createShared("matmulA", (n, n), float)
        X = cluster.createShared("matmulX", (n, n), float)
        Y = cluster.createShared("matmulY", (n, n), float)
        A[:] = np.arange(n * n).reshape(n, n) % 7  # small whole numbers: sums are exact in any order
        X[:] = np.arange(n * n).reshape(n, n) % 5
        cluster.runProcesses(multiply, paras=(n,))
        print(np.array(Y).sum(), np.array(Y).trace())
