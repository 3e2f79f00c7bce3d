"""Move money between accounts while workers are killed, and lose none: all or nothing.

Shows `undo=True` and `recover=True`.  Each worker with an odd rank is killed between taking
the money out of one account and putting it into the other.  Whoever finds it dead puts its
accounts back to what they were before that transfer, and the survivors go on.

    python examples/survive_kills.py --accounts 20 --transfers 2000 --workers 2
"""

import argparse
import os
import signal
import sys

import numpy as np

import pydsm


def transfer(worker: pydsm.Worker, transfers: int) -> None:
    accounts, done = worker["accounts"], worker["done"]
    fatal = transfers // 2 if worker.rank % 2 else None
    for step in range(transfers):
        a, b = worker.random.choice(len(accounts), 2, replace=False)
        # Three rows of two arrays, and either all of them change or none.
        with pydsm.locked((accounts, [a, b]), (done, worker.rank), undo=True, recover=True):
            accounts[a] -= 1
            if step == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            accounts[b] += 1
            done[worker.rank] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Move money between accounts while workers are killed.")
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--transfers", type=int, default=2000, help="of each worker that survives")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    with pydsm.Team(args.workers, on_death="continue") as team:
        accounts = team.array("accounts", args.accounts, int)
        done = team.array("done", args.workers, int)
        accounts[:] = 100
        results = team.run(transfer, args.transfers)
        for rank, result in enumerate(results):
            print(f"worker {rank}: {done[rank]} transfers, {'survived' if result is None else 'killed'}")
        expected = [args.transfers // 2 if rank % 2 else args.transfers for rank in range(args.workers)]
        right = accounts.sum() == 100 * args.accounts and np.array_equal(done, expected)

    print(f"survive_kills: {sum(expected)} transfers, {args.workers} workers, nothing lost or torn: {right}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
