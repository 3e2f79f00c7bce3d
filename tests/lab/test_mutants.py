"""Each deliberate mistake in a model is noticed by the published table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pydsm import lab
from pydsm.lab.explorer import explore
from pydsm.lab.models.base import Model
from pydsm.lab.models.causal import Causal
from pydsm.lab.models.entry import Entry
from pydsm.lab.models.lrc import LRC
from pydsm.lab.models.pram import PRAM
from pydsm.lab.models.pso import PSO
from pydsm.lab.models.rmo import RMO, RMO9
from pydsm.lab.models.sc import SC
from pydsm.lab.models.slow import Slow
from pydsm.lab.models.tso import TSO
from tests.lab.published import expected


def agrees(model: type[Model], name: str) -> bool:
    """Say whether a model says of a test what the table does."""
    test = lab.load(name)
    return any(map(test.asked, explore(model(test)))) == expected()[name][model.name]


class FenceThatDoesNotDrain(TSO):
    def may_pass(self, buffer: Any, step: Any) -> bool:
        return step.op == "fence" or not buffer


class AtomicsOverTheBuffer(TSO):
    def may_pass(self, buffer: Any, step: Any) -> bool:
        return step.op in ("store_release", "load_acquire") or not buffer


class UnlockThatDoesNotDrain(TSO):
    def may_pass(self, buffer: Any, step: Any) -> bool:
        return step.op in ("lock", "unlock") or not buffer


class NoForwarding(TSO):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        if step.op == "read":
            return ((memory.cells[step.location], memory),)
        return super().perform(memory, worker, step, value)


class ReadsWaitForTheBuffer(TSO):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        return () if step.op == "read" and memory.buffers[worker] else super().perform(memory, worker, step, value)


class BarrierOverBuffers(TSO):
    def meet(self, memory: Any) -> Iterable[Any]:
        return (memory,)


class NothingInOrder(PSO):
    def leaving(self, buffer: Any) -> range:
        return range(len(buffer))


class WritesInOrder(PSO):
    def leaving(self, buffer: Any) -> range:
        return range(min(1, len(buffer)))


class NoDependencies(RMO):
    def keeps(self, first: Any, second: Any) -> bool:
        return first.op == "fence" or second.op == "fence"

    def perform(self, state: Any, worker: int, place: int) -> Any:
        step = self.programs[worker][place]
        if step.value and any(state.registers[register] is None for register in step.value.registers):
            guess = state._replace(registers=tuple(1 if value is None else value for value in state.registers))
            return super().perform(guess, worker, place)
        return super().perform(state, worker, place)


class WeakFence(RMO):
    def keeps(self, first: Any, second: Any) -> bool:
        return super().keeps(first, second) and "fence" not in (first.op, second.op)


class WritesOfOneLocationPass(RMO):
    def keeps(self, first: Any, second: Any) -> bool:
        return super().keeps(first, second) and not first.op == second.op == "write"


class NoHazard(RMO9):
    keeps = RMO.keeps


class Hazard(RMO):
    def keeps(self, first: Any, second: Any) -> bool:
        return super().keeps(first, second) and not first.op == second.op == "read"


class ForgetsWhatItSaw(Causal):
    waits_for = PRAM.waits_for


class FenceForOwnWrites(Causal):
    owes = PRAM.owes


class Unordered(PRAM):
    def waits_for(self, arrived: int, write: Any, worker: int) -> int:
        return 0


class TooPolite(PRAM):
    waits_for = Causal.waits_for


class NoOrderAtAll(Slow):
    def waits_for(self, arrived: int, write: Any, worker: int) -> int:
        return 0


class InOrderOfTheWorker(Slow):
    waits_for = PRAM.waits_for


class UnlockDoesNotWait(PRAM):
    def is_out(self, memory: Any, worker: int) -> bool:
        return True


class AtomicInOneReplica(PRAM):
    def written(self, memory: Any, worker: int, step: Any, value: int, replicas: Iterable[int]) -> Any:
        return super().written(memory, worker, step, value, (worker,))


class BarrierOverMessages(PRAM):
    def meet(self, memory: Any) -> Iterable[Any]:
        return (memory,)


class OnlyItsRows(LRC):
    covered = Entry.covered


class NothingCovered(LRC):
    def covered(self, location: int) -> int:
        return 0


class EverythingCovered(Entry):
    covered = LRC.covered


class OlderWritesMayStay(LRC):
    def latest(self, memory: Any, known: int, location: int) -> Any:
        known &= self.of_location[location]
        return [write for write in range(len(self.place)) if known >> write & 1] or [-1]


class NothingPublished(LRC):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        return ((None, memory),) if step.op == "publish" else super().perform(memory, worker, step, value)


class NothingPulled(LRC):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        return ((None, memory),) if step.op == "pull" else super().perform(memory, worker, step, value)


class AcquireBringsNothing(Entry):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        return ((None, memory),) if step.op == "lock" else super().perform(memory, worker, step, value)


class BarrierWithoutPull(Entry):
    def meet(self, memory: Any) -> Iterable[Any]:
        return (memory,)


class LocksForAll(SC):
    def ran(self, state: Any, *args: Any) -> Any:
        return super().ran(state, *args)._replace(holders=state.holders)


class LostUpdate(SC):
    def perform(self, memory: Any, worker: int, step: Any, value: Any) -> Any:
        return ((0, (*memory[:-1], 1)),) if step.op == "fetch_add" else super().perform(memory, worker, step, value)


MUTANTS = [
    (FenceThatDoesNotDrain, "SB+fences"),
    (AtomicsOverTheBuffer, "MP+rel-acq"),
    (UnlockThatDoesNotDrain, "SB+locks"),
    (NoForwarding, "SB+rfi"),
    (ReadsWaitForTheBuffer, "SB"),
    (BarrierOverBuffers, "SB+barrier"),
    (NothingInOrder, "CoWW"),
    (WritesInOrder, "MP"),
    (NoDependencies, "LB+datas"),
    (WeakFence, "LB+fences"),
    (WritesOfOneLocationPass, "CoWW"),
    (NoHazard, "CoRR"),
    (Hazard, "CoRR"),
    (ForgetsWhatItSaw, "WRC"),
    (FenceForOwnWrites, "IRIW+fences"),
    (Unordered, "MP"),
    (TooPolite, "WRC"),
    (NoOrderAtAll, "CoWW"),
    (InOrderOfTheWorker, "MP"),
    (UnlockDoesNotWait, "SB+locks"),
    (AtomicInOneReplica, "IRIW+atomics"),
    (BarrierOverMessages, "SB+barrier"),
    (OnlyItsRows, "MP+lock-of-another-row"),
    (NothingCovered, "INC+locks"),
    (EverythingCovered, "MP+lock-of-another-row"),
    (OlderWritesMayStay, "CoWW"),
    (NothingPublished, "MP+rel-acq"),
    (NothingPulled, "SB+fences"),
    (AcquireBringsNothing, "INC+locks"),
    (BarrierWithoutPull, "MP+barrier"),
    (LocksForAll, "INC+locks"),
    (LostUpdate, "INC+atomics"),
]


@pytest.mark.parametrize(("mutant", "name"), MUTANTS)
def test_a_mistake_in_a_model_is_noticed(mutant: type[Model], name: str) -> None:
    assert agrees(lab.MODELS[mutant.name], name)
    assert not agrees(mutant, name)
