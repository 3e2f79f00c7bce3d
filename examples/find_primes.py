"""Find prime numbers: the workers fetch pieces of work from a shared counter.

Shows dynamic scheduling with a lock.  The numbers are cut into pieces, and ``next`` is where
the first piece that nobody has taken begins.  Who is free takes it and moves the counter on,
so a worker with slow pieces just takes fewer of them.  It is written with the original API
of py-dsm.

    python examples/find_primes.py --limit 1000000 --piece 20000 --workers 2
"""

import argparse
import math
import sys
from typing import Any

import numpy as np

import pydsm


def sieve(limit: int) -> np.ndarray:
    """Say for each number below `limit` whether it is prime (Eratosthenes, all at once)."""
    is_prime = np.ones(limit, dtype=bool)
    is_prime[:2] = False
    for number in range(2, math.isqrt(max(limit - 1, 0)) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    return is_prime


def find(res: dict[str, Any], limit: int, piece: int) -> None:
    counter, is_prime, lock = res["next"], res["is_prime"], res["lock"]
    small_primes = np.flatnonzero(sieve(math.isqrt(limit) + 1)).tolist()
    while True:
        # Without the lock two workers could read the same start and do the same piece.
        lock.acquire()
        start = int(counter[0])
        counter[0] = start + piece
        lock.release()
        if start >= limit:
            return

        # From here on the piece is ours alone: it needs no lock.
        mine = is_prime[start : min(start + piece, limit)]
        mine[:] = True
        mine[: max(0, 2 - start)] = False
        for prime in small_primes:
            first_multiple = max(prime * prime, -(-start // prime) * prime)
            mine[first_multiple - start :: prime] = False


def main() -> int:
    parser = argparse.ArgumentParser(description="Find the prime numbers below a limit.")
    parser.add_argument("--limit", type=int, default=1_000_000)
    parser.add_argument("--piece", type=int, default=20_000, help="numbers that a worker takes at a time")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    with pydsm.Cluster(args.workers) as cluster:
        cluster.createShared("next", 1, int)
        is_prime = cluster.createShared("is_prime", args.limit, bool)
        cluster.createLock("lock")
        cluster.runProcesses(find, paras=(args.limit, args.piece))
        found = np.count_nonzero(is_prime)
        equal = np.array_equal(is_prime, sieve(args.limit))

    print(f"find_primes: {found} primes below {args.limit}, {args.workers} workers, equals plain NumPy: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
