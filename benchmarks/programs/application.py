"""One of the applications under the original API: ``application.py NAME WORKERS SIZE``.

Prints the seconds from the start of the workers to their end, when the result is right.
"""

import sys
import time

import numpy as np
import problems

import pydsm


def work(resource, name, inputs, units, workers):
    states = pydsm.Cluster.getShared("applicationStates")
    partials = pydsm.Cluster.getShared("applicationPartials")
    problem = problems.ALL[name]
    problems.solve(problem, inputs, states, partials, units, resource["id"], workers, pydsm.Cluster.barrier)


if __name__ == "__main__":
    name, workers, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    problem = problems.ALL[name]
    inputs = problem.inputs(size)
    expected = problems.serially(problem, inputs, size)
    shapes = problems.shared_shapes(problem, inputs, size, workers)
    with pydsm.Cluster(workers) as cluster:
        states = cluster.createShared("applicationStates", shapes[0], np.float64)
        partials = cluster.createShared("applicationPartials", shapes[1], np.float64)
        problems.fill(problem, inputs, size, states)
        began = time.perf_counter()
        cluster.runProcesses(work, paras=(name, inputs, problem.units(inputs, size), workers))
        seconds = time.perf_counter() - began
        problems.check(problem, problems.result(problem, states), expected)
        print(seconds)
