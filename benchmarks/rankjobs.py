"""Jobs over MPI that `benchmarks.ranks` gives orders to: pydsm's, and one of plain mpi4py ranks.

They run on two hosts (`tests.mpi.hosts`), over TCP.  Where network namespaces are not permitted they pretend: the ranks
of both "hosts" have one memory, and MPI is told not to use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.remote import Remote
from tests.mpi.hosts import OVER_TCP, Hosts, NotPermittedError, two_hosts
from tests.mpi.launchers import is_open_mpi, launcher

__all__ = ["Pair", "Place", "place"]

_SERVE = str(Path(__file__).with_name("serve.py"))
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Place:
    """Where jobs run.

    Attributes
    ----------
    hosts : Hosts or None
        None where they are pretended.
    note : str
        What to say of it.
    """

    hosts: Hosts | None
    note: str

    @property
    def path(self) -> str:
        """What lies between the ranks, in a word or two."""
        return "two hosts, TCP" if self.hosts else "pretended hosts"

    def launch(self, first: int, second: int) -> tuple[list[str], Mapping[str, str]]:
        """Return the command that starts ranks, and its environment."""
        if self.hosts is not None:
            return self.hosts.ranks(first, second), OVER_TCP
        network = {"OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1"} if is_open_mpi() else {"MPIR_CVAR_NOLOCAL": "1"}
        return [*launcher(), "-n", str(first + second)], network


@contextmanager
def place() -> Iterator[Place]:
    """Make the hosts, if that is permitted."""
    with ExitStack() as stack:
        try:
            found = Place(stack.enter_context(two_hosts()), "")
        except NotPermittedError as error:
            found = Place(None, f"ranks pretend to be on two hosts, over MPI's network path: {error}")
        yield found


@dataclass
class Pair:
    """A job with pydsm and one without, of the same workers, both idle but for orders.

    Parameters
    ----------
    place : Place
    first, second : int
        Workers of each host; pydsm's server comes on top of that.
    """

    place: Place
    first: int = 2
    second: int = 2
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Pair:
        with ExitStack() as stack:
            self.pydsm = stack.enter_context(self._ours())
            self.raw = stack.enter_context(self._theirs())
            self.pydsm.ready()
            self.raw.ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def renew(self) -> None:
        """Start both anew: one of them has not answered."""
        self._stack.close()
        self.__enter__()

    def _ours(self) -> Remote:
        counts = self.first + 1, self.second + 1 if self.second else 0
        command, environment = self.place.launch(*counts)
        if self.place.hosts is None and self.second:
            ranks = list(map(str, range(sum(counts))))
            environment = {
                **environment,
                "PYDSM_MPI_NODES": f"{','.join(ranks[: counts[0]])}|{','.join(ranks[counts[0] :])}",
            }
        return _remote("rankpydsm", command, ("-m", "pydsm", _SERVE), environment)

    def _theirs(self) -> Remote:
        command, environment = self.place.launch(self.first, self.second)
        return _remote("rankraw", command, ("-m", "benchmarks.serve"), environment)


def _remote(module: str, command: Sequence[str], how: Sequence[str], environment: Mapping[str, str]) -> Remote:
    return Remote(f"benchmarks.{module}", "crew", launcher=command, how=how, environment={**_ONE_THREAD, **environment})
