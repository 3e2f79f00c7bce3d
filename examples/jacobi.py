"""Let heat spread over a plate: Jacobi sweeps with two arrays and a barrier.

Shows how a barrier alone keeps workers in step.  A sweep reads one array and writes the
other, then they change places.  The rows at the edge of a worker's share need the rows of
its neighbours from the sweep before, so everybody waits for everybody once in each sweep.
There are no locks: a row has one writer.

    python examples/jacobi.py --size 200 --sweeps 300 --workers 2
"""

import argparse
import sys

import numpy as np

import pydsm


def sweep(old: np.ndarray, new: np.ndarray, start: int, stop: int) -> None:
    """Set inner points of rows `start` to `stop` to the mean of their four neighbours."""
    above, below = old[start - 1 : stop - 1, 1:-1], old[start + 1 : stop + 1, 1:-1]
    left, right = old[start:stop, :-2], old[start:stop, 2:]
    new[start:stop, 1:-1] = (above + below + left + right) / 4


def spread(worker: pydsm.Worker, sweeps: int) -> None:
    old, new = worker["A"], worker["B"]
    inner = worker.split(len(old) - 2)  # the first row and the last keep their temperature
    for _ in range(sweeps):
        sweep(old, new, inner.start + 1, inner.stop + 1)
        # One barrier serves two ends: the new rows are all there to be read, and the old
        # ones have all been read and may be written.
        worker.barrier()
        old, new = new, old


def spread_serially(plate: np.ndarray, sweeps: int) -> np.ndarray:
    """Do the same without pydsm."""
    old, new = plate.copy(), plate.copy()
    for _ in range(sweeps):
        sweep(old, new, 1, len(plate) - 1)
        old, new = new, old
    return old


def main() -> int:
    parser = argparse.ArgumentParser(description="Let heat spread over a square plate.")
    parser.add_argument("--size", type=int, default=200, help="rows and columns of the plate")
    parser.add_argument("--sweeps", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    plate = np.zeros((args.size, args.size))
    plate[0] = 100  # one edge is hot, the others are cold
    with pydsm.Team(args.workers) as team:
        A = team.array("A", plate.shape)
        B = team.array("B", plate.shape)
        A[:] = B[:] = plate
        team.run(spread, args.sweeps)
        last_written = B if args.sweeps % 2 else A
        equal = np.array_equal(last_written, spread_serially(plate, args.sweeps))

    print(f"jacobi: {args.sweeps} sweeps of {plate.size} points, {args.workers} workers, equals serial NumPy: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
