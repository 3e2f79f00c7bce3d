"""Draw the Mandelbrot set: rows that are not equally hard, shared out in two ways.

Shows static and dynamic scheduling side by side.  ``worker.split`` gives each worker one
block of rows before anybody begins; ``worker.share`` gives a few rows to whoever is free,
again and again.  The work is counted, as steps of the iteration, and the program says how
much of it the busiest worker had: twice its part means that the others stood and waited for
half of the time.  Rows are whole, and each has one writer, so there are no locks.

    python examples/mandelbrot.py --rows 400 --steps 200 --workers 2
"""

import argparse
import sys

import numpy as np

import pydsm


def escape_times(imaginary: float, columns: int, steps: int) -> np.ndarray:
    """Return for each point of a row how many steps it stays near zero, `steps` at most."""
    points = np.linspace(-2, 0.6, columns) + 1j * imaginary
    times = np.zeros(columns, int)
    inside, z = np.arange(columns), np.zeros_like(points)
    for _ in range(steps):
        z = z * z + points[inside]
        near = z.real**2 + z.imag**2 <= 4
        inside, z = inside[near], z[near]  # the others are done: such a row is cheaper
        times[inside] += 1
    return times


def draw(worker: pydsm.Worker, steps: int, is_dynamic: bool) -> None:
    image, work = worker["image"], worker["work"]
    rows, columns = image.shape
    for part in worker.share(rows) if is_dynamic else [worker.split(rows)]:
        for row in part:
            image[row] = escape_times(1.2 * row / rows, columns, steps)
            work[worker.rank] += image[row].sum()


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the upper half of the Mandelbrot set.")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--steps", type=int, default=200, help="how long a point is followed")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    shape = args.rows, 3 * args.rows // 2
    plain = np.array([escape_times(1.2 * row / args.rows, shape[1], args.steps) for row in range(args.rows)])
    equal = True
    with pydsm.Team(args.workers) as team:
        image, work = team.array("image", shape, int), team.array("work", args.workers, int)
        for name, is_dynamic in (("split", False), ("share", True)):
            image[:] = -1
            work[:] = 0
            team.run(draw, args.steps, is_dynamic)
            equal = equal and np.array_equal(image, plain) and work.sum() == plain.sum()
            busiest = work.max() * args.workers / plain.sum()
            print(f"worker.{name}: the busiest worker did {busiest:.2f} times its part of {plain.sum()} steps")

    print(f"mandelbrot: {args.rows} rows, {args.workers} workers, split and share equal plain NumPy: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
