import pydsm


def count(worker):
    hits = worker["hits"]
    if worker.rank == 0:
        hits[3] += 1
    else:
        with hits.locked(3):
            hits[3] = 7


with pydsm.Team(2) as team:
    team.array("hits", 10, int)
    team.run(count)
