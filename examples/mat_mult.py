"""Multiply two matrices: every worker makes its own rows of the product.

Shows how to share out the rows of a matrix with `splitIndices`, and that a list of rows is
an index as in any NumPy array.  It is written with the original API of py-dsm.

    python examples/mat_mult.py --size 300 --workers 2
"""

import argparse
import sys
from typing import Any

import numpy as np

import pydsm


def multiply(res: dict[str, Any], n: int) -> None:
    A, X, Y = res["A"], res["X"], res["Y"]

    # Everybody reads all of X and some rows of A, which nobody writes while the workers run;
    # a row of Y has one writer.
    mine = pydsm.Cluster.splitIndices(n, res["id"], random=True)
    Y[mine] = np.matmul(A[mine], X)


def main() -> int:
    parser = argparse.ArgumentParser(description="Multiply two square matrices in shared memory.")
    parser.add_argument("--size", type=int, default=300, help="rows and columns of each matrix")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    rng = np.random.default_rng(1)
    a, x = rng.random((2, args.size, args.size))
    with pydsm.Cluster(args.workers) as cluster:
        A = cluster.createShared("A", a.shape, float)
        X = cluster.createShared("X", x.shape, float)
        Y = cluster.createShared("Y", a.shape, float)
        A[:] = a
        X[:] = x
        cluster.runProcesses(multiply, paras=(args.size,))
        # Not bit for bit: the order in which a product is summed may depend on its shape.
        close = np.allclose(Y, a @ x)

    print(f"mat_mult: {args.size} x {args.size}, {args.workers} workers, close to NumPy: {close}")
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main())
