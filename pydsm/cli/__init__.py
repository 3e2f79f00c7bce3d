"""The command line: `pydsm ls`, `pydsm clean`, `pydsm run`."""

from pydsm.cli.main import main

__all__ = ["main"]
