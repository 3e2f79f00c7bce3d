"""Train a classifier by stochastic gradient descent, with a lock and without.

Shows a data race on purpose, next to the program that has none.

With ``W.locked()`` around each step, the workers' steps happen one after another in some
order, as in a serial program that met the samples in that order.

The second run leaves the lock out.  That is a data race.  While one worker computes a step,
another may move the same weights: the step is computed from weights that are a mix of old
and new, and of two steps that write one weight at once one is lost.  Every run can end
elsewhere, and nobody can promise how far from the right answer.  Nor is it promised that a
worker sees a step of another before the next barrier, though in the memory of one machine it
will.

Hogwild (Niu, Recht, Re and Wright, 2011) takes the risk because each sample touches few of
the weights, so that two steps seldom meet, and because a later step corrects what an earlier
one spoilt.  A histogram or a bank account has no later step that corrects: there, a lost
update is a wrong result.

So only the run with the lock is checked.  The other one is printed for you to compare.

    python examples/hogwild.py --samples 4000 --features 200 --epochs 3 --workers 2
"""

import argparse
import math
import sys

import numpy as np

import pydsm

ACTIVE = 10  # features that a sample has, as words in a short text
RATE = 0.1  # how far the first steps go
TOLERANCE = 0.05  # another order of the samples gives another loss; without training it is 0.69


def make_samples(samples: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which features each sample has, and its label: 0 or 1."""
    rng = np.random.default_rng(6)
    active = np.argsort(rng.random((samples, features)), axis=1)[:, :ACTIVE]
    score = rng.normal(0, 1, features)[active].sum(axis=1)
    return active, (rng.random(samples) < 1 / (1 + np.exp(-score))).astype(int)


def step(W: np.ndarray, active: np.ndarray, label: int, rate: float) -> None:
    """Move the weights of one sample's features against the gradient of the logistic loss."""
    score = float(W[active].sum())
    W[active] -= rate * (1 / (1 + math.exp(-score)) - label)


def train(worker: pydsm.Worker, active: np.ndarray, labels: np.ndarray, epochs: int, locking: bool) -> None:
    W = worker["W"]
    for epoch in range(epochs):
        for i in worker.split(len(labels)):
            if locking:
                with W.locked():
                    step(W, active[i], labels[i], RATE / (epoch + 1))
            else:
                step(W, active[i], labels[i], RATE / (epoch + 1))  # the data race
        worker.barrier()  # all workers take shorter steps from here on


def train_serially(W: np.ndarray, active: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    for epoch in range(epochs):
        for i in range(len(labels)):
            step(W, active[i], labels[i], RATE / (epoch + 1))


def judge(name: str, W: np.ndarray, active: np.ndarray, labels: np.ndarray) -> float:
    """Print how good the weights are, and return the loss."""
    score = np.array(W)[active].sum(axis=1)
    loss = np.logaddexp(0, score).mean() - (score * labels).mean()
    print(f"{name:9}  loss {loss:.4f}  accuracy {np.mean((score > 0) == labels):.4f}")
    return loss


def main() -> int:
    parser = argparse.ArgumentParser(description="Logistic regression with a lock and without.")
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--features", type=int, default=200, help=f"weights; at least {ACTIVE}")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    active, labels = make_samples(args.samples, args.features)
    serial = np.zeros(args.features)
    train_serially(serial, active, labels, args.epochs)
    expected = judge("serial", serial, active, labels)
    with pydsm.Team(args.workers) as team:
        W = team.array("W", args.features, stripes=1)  # always locked as a whole: one lock does
        team.run(train, active, labels, args.epochs, True)
        good = bool(judge("locked", W, active, labels) < expected + TOLERANCE)
        W[:] = 0
        team.run(train, active, labels, args.epochs, False)
        judge("lock-free", W, active, labels)

    print(f"hogwild: {args.samples} samples, {args.workers} workers, locked run as good as serial: {good}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
