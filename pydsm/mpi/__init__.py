"""The same program on several machines: ranks of an MPI job instead of child processes.

See docs/mpi.md.  `world` is the only importer of mpi4py.
"""
