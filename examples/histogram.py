"""Count the grey levels of an image: one lock for each bin.

Shows fine-grained locking.  All workers count into one histogram, and a worker that adds to
bin 7 keeps out only who wants bin 7 as well.  A histogram could also be counted privately
and added up at the end; graphs and simulations often cannot, and this is how they do it.
With ``--progress`` there is one progress bar for all workers.

    python examples/histogram.py --size 256 --workers 2
"""

import argparse
import sys

import numpy as np

import pydsm

LEVELS = 256


def draw(size: int) -> np.ndarray:
    """Return an image of circular waves with some noise, grey levels from 0 to 255."""
    y, x = np.mgrid[:size, :size] / size
    waves = 128 + 90 * np.sin(40 * np.hypot(x - 0.4, y - 0.6))
    noise = np.random.default_rng(3).normal(0, 15, waves.shape)
    return np.clip(waves + noise, 0, LEVELS - 1).astype(np.uint8)


def count(worker: pydsm.Worker) -> None:
    image, H = worker["image"], worker["H"]
    for y in pydsm.track(worker.split(len(image))):
        for level in image[y].tolist():
            # += reads, adds and writes: without the lock another worker's count, written
            # between our read and our write, would be lost.
            with H.locked(level):
                H[level] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the grey levels of an image.")
    parser.add_argument("--size", type=int, default=256, help="width and height of the image")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--progress", action="store_true", help="show a progress bar (needs tqdm)")
    args = parser.parse_args()

    drawn = draw(args.size)
    with pydsm.Team(args.workers) as team:
        image = team.array("image", drawn.shape, np.uint8)
        H = team.array("H", LEVELS, int)
        image[:] = drawn
        team.run(count, progress=args.progress)
        equal = np.array_equal(H, np.bincount(drawn.ravel(), minlength=LEVELS))

    print(f"histogram: {drawn.size} pixels, {args.workers} workers, equals np.bincount: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
