"""Count primes; a lock hands out blocks of numbers: ``sieve.py WORKERS BLOCKS``."""

import sys

import numpy as np

import pydsm

BLOCK = 500


def search(resource, blocks):
    turn = pydsm.Cluster.getShared("sieveTurn")
    found = pydsm.Cluster.getShared("sieveFound")
    lock = resource["sieveLock"]
    small = primes_below(int((blocks * BLOCK) ** 0.5) + 1)
    while True:
        lock.acquire()
        block = int(turn[0])
        turn[0] += 1
        lock.release()
        if block >= blocks:
            return
        count = count_primes(block * BLOCK, small)
        lock.acquire()
        found[0] += count
        lock.release()


def primes_below(n):
    candidates = np.arange(2, n)
    return [int(k) for k in candidates if all(k % j for j in range(2, int(k**0.5) + 1))]


def count_primes(start, small):
    is_prime = np.ones(BLOCK, bool)
    if start == 0:
        is_prime[:2] = False
    for p in small:
        if p * p >= start + BLOCK:
            break
        is_prime[max(p * p - start, -start % p) :: p] = False
    return int(is_prime.sum())


if __name__ == "__main__":
    workers, blocks = map(int, sys.argv[1:])
    with pydsm.Cluster(workers) as cluster:
        cluster.createShared("sieveTurn", 1, int)
        found = cluster.createShared("sieveFound", 1, int)
        cluster.createLock("sieveLock")
        cluster.runProcesses(search, paras=(blocks,))
        print(int(found[0]))
