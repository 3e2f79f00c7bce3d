"""Flags: marked ones order, plain ones race."""

from tests.races.programs import program


@program(flag=(1, int), data=4)
def marked_flag_no(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank == 0:
        data[:] = 7
        flag.store_release(0, 1)
        return None
    flag.wait_until(0, "==", 1)
    return float(data.sum())


@program(flag=(1, int), data=4)
def polled_with_load_acquire_no(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank == 0:
        data[2] = 7
        flag.store_release(0, 1)
        return None
    while not flag.load_acquire(0):
        pass
    return float(data[2])


@program(flag=(1, int))
def plain_flag_yes(worker):
    flag = worker["flag"]
    if worker.rank == 0:
        flag[0] = 1  # RACE
    if worker.rank == 1:
        return int(flag[0])  # RACE


@program(flag=(1, int), data=4)
def plain_flag_and_its_data_yes(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank == 0:
        data[0] = 5  # RACE 1
        flag[0] = 1  # RACE 2
    if worker.rank == 1:
        seen = int(flag[0])  # RACE 2
        return seen, float(data[0])  # RACE 1


@program(flag=(1, int), data=4)
def data_after_the_flag_yes(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank == 0:
        flag.store_release(0, 1)
        data[0] = 5  # RACE
    if worker.rank == 1:
        flag.wait_until(0, "==", 1)
        return float(data[0])  # RACE


@program(flag=(1, int), data=4)
def marked_on_one_side_only_yes(worker):
    flag = worker["flag"]
    if worker.rank == 0:
        flag[0] = 1  # RACE
    if worker.rank == 1:
        return int(flag.load_acquire(0))  # RACE


@program(flag=(4, int), data=4)
def waits_for_another_flag_yes(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank == 0:
        flag.store_release(1, 1)
        data[0] = 5  # RACE
        flag.store_release(2, 1)
    if worker.rank == 1:
        flag.wait_until(1, "==", 1)
        return float(data[0])  # RACE


@program(flag=(4, int), data=4)
def chain_of_flags_no(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank > 0:
        flag.wait_until(worker.rank - 1, "==", 1)
    data[0] += 1
    flag.store_release(worker.rank, 1)


@program(flag=(4, int), data=4)
def chain_with_a_missing_link_yes(worker):
    flag, data = worker["flag"], worker["data"]
    if worker.rank > 1:
        flag.wait_until(worker.rank - 1, "==", 1)
    data[0] = worker.rank  # RACE
    flag.store_release(worker.rank, 1)
