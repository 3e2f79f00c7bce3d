"""Find the distances between all points, then each point's nearest neighbour.

Shows a barrier between two steps.  In the first step a worker fills parts of many rows, in
the second it reads whole rows that others helped to fill: nobody may begin the second before
everybody has done the first.  It also shows what a random split is for: the first rows are
the long ones, and a shuffle gives every worker its part of those.  It is written with the
original API of py-dsm.

    python examples/distances.py --points 600 --workers 2
"""

import argparse
import sys
from typing import Any

import numpy as np

import pydsm

try:
    from scipy.spatial.distance import cdist
except ImportError:

    def cdist(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Do the same in plain NumPy."""
        return np.sqrt(((a[:, np.newaxis] - b) ** 2).sum(axis=2))


def measure(res: dict[str, Any], n: int) -> None:
    P, D, nearest = res["P"], res["D"], res["nearest"]

    # The distance from i to j is that from j to i, so row i begins at its diagonal.
    mine = pydsm.Cluster.splitIndices(n, res["id"], random=True)
    for i in mine:
        distances = np.sqrt(((P[i:] - P[i]) ** 2).sum(axis=1))
        D[i, i:] = distances
        D[i:, i] = distances

    pydsm.Cluster.barrier()

    for i in mine:
        row = np.array(D[i])
        row[i] = np.inf  # no point is its own neighbour
        nearest[i] = row.argmin()


def main() -> int:
    parser = argparse.ArgumentParser(description="Find the distances between all points.")
    parser.add_argument("--points", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    points = np.random.default_rng(2).random((args.points, 3))
    with pydsm.Cluster(args.workers) as cluster:
        P = cluster.createShared("P", points.shape, float)
        D = cluster.createShared("D", (args.points, args.points), float)
        nearest = cluster.createShared("nearest", args.points, int)
        P[:] = points
        cluster.runProcesses(measure, paras=(args.points,))

        expected = cdist(points, points)
        close = np.allclose(D, expected)
        np.fill_diagonal(expected, np.inf)
        agree = close and np.array_equal(nearest, expected.argmin(axis=1))

    print(f"distances: {args.points} points, {args.workers} workers, close to cdist: {agree}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
