"""Every machine instruction of pydsm's native code as a place to die.

A child lets its parent trace it (ptrace), stops, does the operation, and stops again.  The
parent first steps through the operation once and writes down the address of each
instruction that lies in pydsm's compiled modules: the path.  Then, for each instruction of
the path, a new child runs to it at full speed, by a breakpoint at its address and a count of
how often the path came by there before, and is killed in front of it.  All children are
forks of one process, so they have the code at the same addresses and take the same path.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import random
import re
import signal
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.crash.children import Child, fork
from tests.crash.lines import TORTURE, Scenario

__all__ = ["Count", "crash_at_instructions", "why_not"]

_TRACEME: Final = 0
_PEEKUSER: Final = 3
_POKEUSER: Final = 6
_CONT: Final = 7
_SINGLESTEP: Final = 9
_RIP: Final = 16 * 8  # where user_regs_struct has it on x86-64
_RSP: Final = 19 * 8
_WORD: Final = (1 << 64) - 1
_ELF: Final = struct.Struct("<32x QQ I 6H")  # its header, from where the segments are named
_LOAD: Final = 1
_EXECUTABLE: Final = 1
_SYMTAB: Final = 2
_FUNCTION: Final = 2
_SEED: Final = 20
_BREAKPOINT: Final = b"\xcc"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


@functools.cache
def why_not() -> str:
    """Return why instructions cannot be counted here, as a sentence; empty if they can."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "the registers are read as Linux has them on x86-64."
    with fork(lambda say: say(_libc.ptrace(_TRACEME, 0, None, None))) as child:
        if child.hear() != 0:
            return "this system does not let a process be traced (ptrace)."
    return ""


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    ctypes.set_errno(0)
    answer = int(_libc.ptrace(request, pid, address, data))
    if answer == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace request {request} on child {pid}")
    return answer


class Traced:
    """A child in the operation, under its parent's control."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._memory = os.open(f"/proc/{child.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        self._planted: dict[int, bytes] = {}  # what was where a breakpoint is
        self._wait_for_stop()

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._memory)

    def run_to(self, address: int, count: int) -> bool:
        """Stop in front of the instruction when it is reached for the count-th time; False if it never is."""
        self._plant(address)
        for _ in range(count - 1):
            if not (self._run() and self._step()):
                return False
        return self._run()

    def path(self) -> list[int]:
        """Go to the end of the operation; return the addresses of our own instructions on the way.

        What is not our own runs at full speed from where ours calls it to where it comes back
        or calls one of ours: stepping through the interpreter takes twenty times as long.
        """
        spans = _native_code(self.child.pid)
        entries = [entry for span in spans for entry in span.entries()]
        for entry in entries:
            self._plant(entry)
        found, inside = [], False
        while self._step() if inside or not entries else self._run():
            inside = any(self._rip in span.addresses for span in spans)
            if inside:
                found.append(self._rip)
            elif entries:
                back = self._word(_ptrace(_PEEKUSER, self.child.pid, _RSP))
                if any(back in span.addresses for span in spans):
                    self._plant(back)
        return found

    @property
    def _rip(self) -> int:
        return _ptrace(_PEEKUSER, self.child.pid, _RIP) & _WORD

    def _word(self, address: int) -> int:
        return int.from_bytes(os.pread(self._memory, 8, address & _WORD), "little")

    def _plant(self, address: int) -> None:
        if address not in self._planted:
            self._planted[address] = os.pread(self._memory, 1, address)
            os.pwrite(self._memory, _BREAKPOINT, address)

    def _run(self) -> bool:
        """Go on to the next breakpoint; False if the operation ended first."""
        if not self._resume(_CONT):
            return False
        _ptrace(_POKEUSER, self.child.pid, _RIP, self._rip - 1)
        return True

    def _step(self) -> bool:
        """Execute one instruction; False if the operation ended."""
        here = self._rip
        if here not in self._planted:
            return self._resume(_SINGLESTEP)
        os.pwrite(self._memory, self._planted[here], here)
        went_on = self._resume(_SINGLESTEP)
        os.pwrite(self._memory, _BREAKPOINT, here)
        return went_on

    def _resume(self, request: int) -> bool:
        number = 0
        while True:
            _ptrace(request, self.child.pid, 0, number)
            number = self._wait_for_stop()
            if number in (signal.SIGTRAP, signal.SIGSTOP):
                return number == signal.SIGTRAP

    def _wait_for_stop(self) -> int:
        _, status = os.waitpid(self.child.pid, 0)
        assert os.WIFSTOPPED(status), f"child {self.child.pid} ended ({status:#x}): {self.child.hear()}"
        return os.WSTOPSIG(status)


@dataclass(frozen=True)
class _Code:
    """Where a process has the code of one of our compiled modules."""

    addresses: range
    offset: int
    path: str

    def entries(self) -> list[int]:
        """Return where its functions begin; nothing if the file was stripped of its symbols."""
        return [
            self.addresses.start + start - self.offset
            for start in _function_offsets(self.path)
            if 0 <= start - self.offset < len(self.addresses)
        ]


def _native_code(pid: int) -> list[_Code]:
    pattern = re.compile(r"^(\w+)-(\w+) r-xp (\w+) .* (/.*/pydsm/native/.*\.so)$", re.MULTILINE)
    return [
        _Code(range(int(start, 16), int(stop, 16)), int(offset, 16), path)
        for start, stop, offset, path in pattern.findall(Path(f"/proc/{pid}/maps").read_text())
    ]


@functools.cache
def _function_offsets(path: str) -> list[int]:
    """Read from an ELF file's table of symbols at which offsets in the file its functions begin."""
    content = Path(path).read_bytes()
    segments, sections, *_, segment_size, segment_count, section_size, section_count, _ = _ELF.unpack_from(content)
    to_offset = 0
    for position in range(segments, segments + segment_size * segment_count, segment_size):
        kind, flags, offset, address = struct.unpack_from("<IIQQ", content, position)
        if kind == _LOAD and flags & _EXECUTABLE:
            to_offset = offset - address
    found = []
    for position in range(sections, sections + section_size * section_count, section_size):
        _, kind, _, _, start, length = struct.unpack_from("<IIQQQQ", content, position)
        if kind == _SYMTAB:
            for _, info, _, section, value, extent in struct.iter_unpack("<IBBHQQ", content[start : start + length]):
                if info & 15 == _FUNCTION and section and extent:
                    found.append(value + to_offset)
    return found


@dataclass(frozen=True)
class Count:
    """How many instructions the operation has, at how many a victim was to die, and did."""

    instructions: int
    chosen: int
    crashed: int


def crash_at_instructions(scenario: Scenario, wanted: int) -> Count:
    """Let a victim die in front of the native instructions of the operation in turn.

    A victim takes another path than the one written down if something that it does depends on
    another process's pace; it then dies at the end.

    Parameters
    ----------
    scenario : Scenario
    wanted : int
        Take about so many: those beside a locked instruction, and of the others every m-th.
        With PYDSM_TORTURE set, all.
    """
    path, locked = _record(scenario)
    chosen = range(len(path)) if TORTURE else _choose(path, locked, wanted)
    crashed = sum(_crash(scenario, path, position) for position in chosen)
    return Count(len(path), len(chosen), crashed)


def _record(scenario: Scenario) -> tuple[list[int], set[int]]:
    """Return the path of the operation, and the positions in it beside a locked instruction."""
    scenario.prepare()
    try:
        with fork(functools.partial(_live, scenario)) as child:
            scenario.meanwhile(child)
            with Traced(child) as traced:
                path = traced.path()
    finally:
        scenario.clear()
    # We have the same code at the same addresses, without breakpoints.
    locked = {address for address in set(path) if _is_locked(ctypes.string_at(address, 3))}
    beside = {position + near for position, address in enumerate(path) if address in locked for near in (-1, 0, 1)}
    return path, beside & set(range(len(path)))


def _is_locked(code: bytes) -> bool:
    """Say whether an instruction orders memory: a lock prefix, an exchange, a fence."""
    return code[0] == 0xF0 or code[code[0] & 0xF0 == 0x40] in (0x86, 0x87) or code == b"\x0f\xae\xf0"


def _choose(path: list[int], beside: set[int], wanted: int) -> list[int]:
    seen = Counter[int]()
    few = []
    for position, address in enumerate(path):
        seen[address] += 1
        if seen[address] <= Scenario.visits:
            few.append(position)
    chosen = [position for position in few if position in beside]
    others = [position for position in few if position not in beside]
    stride = max(1, -(-len(others) // max(1, wanted - len(chosen))))
    return sorted(chosen + others[random.Random(_SEED).randrange(stride) :: stride])


def _crash(scenario: Scenario, path: list[int], position: int) -> bool:
    """Let a victim die in front of one instruction, and check; say whether it came there."""
    address = path[position]
    try:
        scenario.prepare()
        with fork(functools.partial(_live, scenario)) as victim:
            scenario.meanwhile(victim)
            with Traced(victim) as traced:
                count = path[: position + 1].count(address)
                came = traced.run_to(address, count)
        scenario.check(True)
        return came
    except BaseException as error:
        error.add_note(f"{type(scenario).__name__}: died at instruction {position} of {len(path)}, {address:#x}")
        raise
    finally:
        scenario.clear()


def _live(scenario: Scenario, say: Callable[[Any], None]) -> None:
    scenario.say = say
    scenario.approach()
    _libc.ptrace(_TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    scenario.operate()
    os.kill(os.getpid(), signal.SIGSTOP)
