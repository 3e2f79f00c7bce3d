"""Hand items from a producer to consumers through a ring, without a lock.

Shows waiting for an element, and what release and acquire are for.  The producer fills a place
of the ring and then says so: whoever sees the word sees the items, too.  A consumer takes the
next number, waits until that place is full, empties it and says so; the producer waits for that
before it fills the place again.  Nobody polls: who waits sleeps until the word changes.
(Each place has a turn of its own, as in Vyukov's bounded queue.)

    python examples/ring_buffer.py --items 2000 --places 8 --workers 3
"""

import argparse
import sys

import numpy as np

import pydsm

WIDTH = 16


def work(worker: pydsm.Worker, items: int) -> None:
    if worker.rank == 0:
        produce(worker["ring"], worker["turn"], items)
    else:
        worker["totals"][worker.rank] = consume(worker["ring"], worker["turn"], worker["next"], items)


def produce(ring: pydsm.GlobalArray, turn: pydsm.GlobalArray, items: int) -> None:
    places = len(ring)
    for item in range(items):
        place, lap = item % places, item // places
        turn.wait_until(place, "==", 2 * lap)  # emptied in the lap before
        ring[place] = np.arange(item, item + WIDTH)
        turn.store_release(place, 2 * lap + 1)  # full: and who sees that sees the numbers


def consume(ring: pydsm.GlobalArray, turn: pydsm.GlobalArray, number: pydsm.GlobalArray, items: int) -> int:
    places, total = len(ring), 0
    while (item := number.fetch_add(0, 1)) < items:  # every item is one consumer's
        place, lap = item % places, item // places
        turn.wait_until(place, "==", 2 * lap + 1)
        total += int(ring[place].sum())
        turn.store_release(place, 2 * lap + 2)  # empty
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description="Hand items from one producer to the other workers.")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--places", type=int, default=8, help="of the ring")
    parser.add_argument("--workers", type=int, default=3, help="one producer, the others consume")
    args = parser.parse_args()
    if args.workers < 2:
        parser.error("it takes a producer and a consumer: --workers 2 or more")

    with pydsm.Team(args.workers) as team:
        team.array("ring", (args.places, WIDTH), int)
        team.array("turn", args.places, int)
        team.array("next", 1, int)
        totals = team.array("totals", args.workers, int)
        team.run(work, args.items)
        expected = int((np.arange(args.items)[:, None] + np.arange(WIDTH)).sum())

        equal = totals.sum() == expected

    print(f"ring_buffer: {args.items} items, {args.places} places, {args.workers} workers, equals NumPy: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
