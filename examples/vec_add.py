"""Add two vectors: every worker adds its own share of the elements.

Shows a whole program from end to end: make shared arrays, fill them, run the workers, look
at the result.  It is written with the original API of py-dsm.

    python examples/vec_add.py --size 1000000 --workers 2
"""

import argparse
import sys
from typing import Any

import numpy as np

import pydsm


def add(res: dict[str, Any], n: int) -> None:
    A = pydsm.Cluster.getShared("A")
    B = pydsm.Cluster.getShared("B")
    C = pydsm.Cluster.getShared("C")

    # No two workers get the same index, so nobody needs a lock.
    mine = pydsm.Cluster.splitIndices(n, res["id"], random=False)
    C[mine] = A[mine] + B[mine]


def main() -> int:
    parser = argparse.ArgumentParser(description="Add two vectors in shared memory.")
    parser.add_argument("--size", type=int, default=1_000_000, help="elements of each vector")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    a = np.arange(args.size)
    b = 3 * a + 1
    with pydsm.Cluster(args.workers) as cluster:
        A = cluster.createShared(name="A", shape=args.size, dataType=int)
        B = cluster.createShared("B", args.size, int)
        C = cluster.createShared("C", args.size, int)
        A[:] = a
        B[:] = b
        cluster.runProcesses(add, paras=(args.size,))
        equal = np.array_equal(C, a + b)

    print(f"vec_add: {args.size} elements, {args.workers} workers, equals NumPy: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
