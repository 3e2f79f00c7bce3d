"""Find clusters of points by k-means (Lloyd's algorithm).

Shows region locks and barriers together.  In each round every worker adds what it knows of
its own points to shared sums, one locked row for each cluster; when all have added, the
centroids move.

    python examples/k_means.py --points 20000 --clusters 6 --rounds 15 --workers 2
"""

import argparse
import sys

import numpy as np

import pydsm


def make_points(count: int, clusters: int) -> np.ndarray:
    """Return points scattered around `clusters` places in the plane, in random order."""
    rng = np.random.default_rng(4)
    places = rng.uniform(-10, 10, (clusters, 2))
    return places[rng.integers(clusters, size=count)] + rng.normal(0, 1, (count, 2))


def nearest_centroid(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return for each point which centroid is the nearest."""
    return ((points[:, np.newaxis] - centroids) ** 2).sum(axis=2).argmin(axis=1)


def cluster(worker: pydsm.Worker, rounds: int) -> None:
    centroids, sums = worker["centroids"], worker["sums"]
    share = worker.split(len(worker["points"]))
    points = worker["points"][share.start : share.stop]
    ones = np.ones((len(points), 1))
    for _ in range(rounds):
        # Add up privately first: x, y and a count for each cluster.
        partial = np.zeros(sums.shape)
        np.add.at(partial, nearest_centroid(points, centroids), np.hstack([points, ones]))
        for k in range(len(sums)):
            with sums.locked(k) as row:
                row += partial[k]

        worker.barrier()  # the sums are complete, and nobody reads the old centroids any more
        for k in worker.split(len(sums)):
            if sums[k, 2]:
                centroids[k] = sums[k, :2] / sums[k, 2]
            sums[k] = 0
        worker.barrier()  # all centroids are new, and the sums are zero again


def cluster_serially(points: np.ndarray, centroids: np.ndarray, rounds: int) -> np.ndarray:
    """Do the same without pydsm."""
    for _ in range(rounds):
        nearest = nearest_centroid(points, centroids)
        groups = [points[nearest == k] for k in range(len(centroids))]
        centroids = np.array([group.mean(axis=0) if len(group) else centroids[k] for k, group in enumerate(groups)])
    return centroids


def main() -> int:
    parser = argparse.ArgumentParser(description="Find clusters of points by k-means.")
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    made = make_points(args.points, args.clusters)
    with pydsm.Team(args.workers) as team:
        points = team.array("points", made.shape)
        centroids = team.array("centroids", (args.clusters, 2))
        team.array("sums", (args.clusters, 3))
        points[:] = made
        centroids[:] = made[: args.clusters]
        team.run(cluster, args.rounds)
        # Not bit for bit: the workers add to a row in whatever order they come.
        close = np.allclose(centroids, cluster_serially(made, made[: args.clusters], args.rounds))

    print(f"k_means: {args.points} points, {args.workers} workers, close to serial NumPy: {close}")
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main())
