"""Shortest paths from one place to all others: every road an atomic minimum.

Shows bulk atomic updates.  In each round every worker looks at its share of the roads and
offers each road's end a way over its start.  Many roads end in the same place, and only the
shortest offer may stay: `accumulate` with ``"min"`` does that for all of a worker's roads in one
call, without a lock.  The workers stop together when a round has changed nothing, which
`allreduce` tells them.  (Bellman, 1958; Ford, 1956.)

    python examples/shortest_paths.py --places 2000 --roads 12000 --workers 2
"""

import argparse
import heapq
import sys

import numpy as np

import pydsm


def draw(places: int, roads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each road starts and ends, and how long it is."""
    random = np.random.default_rng(5)
    return random.integers(places, size=roads), random.integers(places, size=roads), random.integers(1, 100, roads)


def relax(worker: pydsm.Worker, starts: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> int:
    D = worker["D"]
    mine = worker.split(len(starts))
    part = slice(mine.start, mine.stop)
    starts, ends, lengths = starts[part], ends[part], lengths[part]
    rounds = 0
    while True:
        offers = D[starts] + lengths  # of others' distances, maybe of this very round: smaller is never wrong
        better = offers < D[ends]
        D.accumulate(ends[better], offers[better], "min")
        rounds += 1
        if not worker.allreduce(bool(better.any()), "or"):
            return rounds


def serially(places: int, starts: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> list[float]:
    """Return all distances from place 0, one place after the other (Dijkstra, 1959)."""
    roads: list[list[tuple[int, int]]] = [[] for _ in range(places)]
    for start, end, length in zip(starts.tolist(), ends.tolist(), lengths.tolist(), strict=True):
        roads[start].append((end, length))
    distances = [np.inf] * places
    queue = [(0.0, 0)]
    while queue:
        distance, place = heapq.heappop(queue)
        if distance < distances[place]:
            distances[place] = distance
            for end, length in roads[place]:
                heapq.heappush(queue, (distance + length, end))
    return distances


def main() -> int:
    parser = argparse.ArgumentParser(description="Find the shortest paths from place 0 to all others.")
    parser.add_argument("--places", type=int, default=2_000)
    parser.add_argument("--roads", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    starts, ends, lengths = draw(args.places, args.roads)
    with pydsm.Team(args.workers) as team:
        D = team.array("D", args.places)
        D[:] = np.inf
        D[0] = 0
        rounds = team.run(relax, starts, ends, lengths)[0]
        equal = D.tolist() == serially(args.places, starts, ends, lengths)

    print(
        f"shortest_paths: {args.places} places, {args.roads} roads, {rounds} rounds, {args.workers} workers, "
        f"equals Dijkstra: {equal}"
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
