"""Guarded arrays, which only a region's view can write."""

from tests.races.programs import program


@program(G=(6, float), options={"access": "guarded"})
def written_in_regions_no(worker):
    G = worker["G"]
    for _ in range(5):
        with G.locked(slice(1, 3)) as rows:
            rows += 1
        with G.locked(4) as row:
            row += 2


@program(G=(6, float), options={"access": "guarded"})
def read_outside_yes(worker):
    G = worker["G"]
    if worker.rank == 0:
        with G.locked(1) as row:
            row[...] = 3  # RACE
    if worker.rank == 1:
        return float(G[1])  # RACE


@program(G=((6, 3), float), options={"access": "guarded"})
def reads_in_shared_regions_no(worker):
    G = worker["G"]
    if worker.rank == 0:
        with G.locked(1) as row:
            row[:] = 3
    else:
        with G.locked(1, shared=True) as row:
            return float(row.sum())


@program(G=(6, float), options={"access": "guarded"}, only="predict")
def neighbour_of_a_shared_region_yes(worker):
    """Both regions have row 0, whose lock orders the accesses of row 2 by accident."""
    G = worker["G"]
    if worker.rank == 0:
        with G.locked(slice(0, 3)) as rows:
            rows[2] = 5  # RACE
    if worker.rank == 1:
        with G.locked(0, shared=True):
            return float(G[2])  # RACE
