"""A program for ranks: runs tests on rank 0, whose teams have their workers on the others."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest


class _FewWorkers:
    """Leaves out tests that want more workers than the job has."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except ValueError as error:
            if "workers is asked for, and this MPI job has" in str(error):
                pytest.skip(str(error))
            raise


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[_FewWorkers()]))
