"""Rank the pages of a small web by who links to them.

Shows locks on scattered rows.  A page pushes a part of its rank to every page it links to,
and it locks just those rows, wherever they are.  Two workers with overlapping lists of rows
never wait for each other in a circle: whatever the order in the list, the locks are taken in
one order.  A few pages are linked to by very many, so their rows are in real demand.

    python examples/page_rank.py --pages 1000 --rounds 15 --workers 2
"""

import argparse
import sys

import numpy as np

import pydsm

DAMPING = 0.85


def make_links(pages: int) -> list[np.ndarray]:
    """Return for each page which pages it links to; how often a page is chosen is a power law."""
    rng = np.random.default_rng(5)
    popularity = 1 / np.arange(1, pages + 1)
    popularity /= popularity.sum()
    counts = np.minimum(rng.zipf(1.8, pages), min(20, pages))  # at least one link, few with many
    return [rng.choice(pages, count, replace=False, p=popularity) for count in counts]


def rank_pages(worker: pydsm.Worker, links: list[np.ndarray], rounds: int) -> None:
    rank, incoming = worker["rank"], worker["incoming"]
    pages = worker.split(len(links))
    mine = slice(pages.start, pages.stop)
    for _ in range(rounds):
        for page in pages:
            targets = links[page]  # each of them once, or += would add to it once only
            with incoming.locked(targets):
                incoming[targets] += rank[page] / len(targets)

        worker.barrier()  # everything has come in: what belongs to my pages is mine now
        rank[mine] = (1 - DAMPING) / len(links) + DAMPING * incoming[mine]
        incoming[mine] = 0
        worker.barrier()  # nobody pushes before all of it is zero again


def rank_serially(links: list[np.ndarray], rounds: int) -> np.ndarray:
    """Do the same without pydsm: multiply by the matrix of all links."""
    matrix = np.zeros((len(links), len(links)))
    for page, targets in enumerate(links):
        matrix[targets, page] = 1 / len(targets)
    rank = np.full(len(links), 1 / len(links))
    for _ in range(rounds):
        rank = (1 - DAMPING) / len(links) + DAMPING * matrix @ rank
    return rank


def main() -> int:
    parser = argparse.ArgumentParser(description="Rank the pages of a generated web.")
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    links = make_links(args.pages)
    with pydsm.Team(args.workers) as team:
        rank = team.array("rank", args.pages)
        team.array("incoming", args.pages)
        rank[:] = 1 / args.pages
        team.run(rank_pages, links, args.rounds)
        # Not bit for bit: what comes in is added up in whatever order the workers push.
        close = np.allclose(rank, rank_serially(links, args.rounds), rtol=1e-9, atol=0)

    print(
        f"page_rank: {args.pages} pages, {sum(map(len, links))} links, {args.workers} workers, "
        f"close to serial NumPy: {close}"
    )
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main())
