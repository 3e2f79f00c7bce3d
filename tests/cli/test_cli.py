from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pydsm
from pydsm.cli import main
from pydsm.core import names
from pydsm.ipc import catalog
from tests.ipc.test_catalog import kill, start


def test_ls_shows_arrays_holders_and_waiters(capsys: pytest.CaptureFixture[str]) -> None:
    with pydsm.Team(2) as team:
        A = team.array("A", (10, 3), "f4")
        team.array("B", 3, "M8[s]")
        team.lock("L")
        with A.locked([2, 3, 7]):
            assert main(["ls"]) == 0
            shown = capsys.readouterr().out.replace("│", " ")
            assert main(["ls", "--json"]) == 0
            listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
        assert team.namespace in shown
        assert "10 x 3" in shown
        assert "datetime64[s]" in shown
    entry = listed[team.namespace]
    array = next(item for item in entry["arrays"] if item["name"] == "A")
    assert entry["live"]
    assert array["shape"] == [10, 3]
    assert array["nbytes"] == 120
    assert [(holder["shared"], holder["rows"]) for holder in array["holders"]] == [(False, [[2, 4], [7, 8]])]
    assert "exclusive rows 2-3, 7" in " ".join(shown.split())


def test_clean_removes_what_is_stale_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    namespace = names.new_namespace()
    with pydsm.Team(1) as team:
        A = team.array("A", 3)
        kill(start(namespace))
        assert main(["clean", "--dry-run"]) == 0
        assert f"pydsm.{namespace}.data.A" in capsys.readouterr().out
        assert main(["clean"]) == 0
        assert f"pydsm.{namespace}.data.A" in capsys.readouterr().out
        assert main(["ls"]) == 0
        assert namespace not in capsys.readouterr().out
        assert pydsm.attach(f"{team.namespace}/A").name == A.name


@pytest.fixture
def stale() -> Iterator[str]:
    """Return a namespace whose program was killed, with an array A and a lock L."""
    namespace = names.new_namespace()
    kill(start(namespace))
    yield namespace
    catalog.reclaim(namespace)


def test_ls_shows_what_a_stale_namespace_holds(stale: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = sum(os.stat(f"/dev/shm/{file}").st_size for file in catalog.namespaces()[stale])
    assert main(["ls", "--json"]) == 0
    entry = next(entry for entry in json.loads(capsys.readouterr().out) if entry["name"] == stale)
    array, lock = entry["arrays"]
    assert (entry["live"], entry["nbytes"]) == (False, size)
    assert (array["name"], array["shape"], array["dtype"], array["nbytes"]) == ("A", [10], "float64", 80)
    assert (array["holders"], array["waiters"], array["problem"]) == ([], [], None)
    assert (lock["name"], lock["shape"], lock["nbytes"]) == ("L", [], 0)
    assert main(["ls"]) == 0
    shown = capsys.readouterr().out
    assert f"{stale} (stale: 'pydsm clean' removes it), made by pid " in shown
    assert "  A     10          float64  80 B  10       -        -\n" in shown
    assert not catalog.is_live(stale)  # to look is not to take part


def test_ls_says_what_is_wrong_with_a_stale_array(stale: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open(f"/dev/shm/pydsm.{stale}.lock.A", "r+b") as file:
        file.write(b"garbage!")
    assert main(["ls"]) == 0
    assert "lock segment of 'A' does not begin as one of pydsm's" in capsys.readouterr().out


LONG = "a name that is longer than most terminals are wide, " * 3


def test_ls_in_a_pipe_is_one_plain_line_for_each_array_however_long() -> None:
    with pydsm.Team(1) as team:
        A = team.array(LONG.strip(), 3)
        with A.locked(0), A.locked(2):
            command = [sys.executable, "-m", "pydsm", "ls"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = [line for line in done.stdout.splitlines() if LONG.strip() in line]
    assert len(lines) == 1
    assert "exclusive rows 0, 2" in lines[0]
    assert done.stdout.isascii()
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())


def test_ls_on_a_terminal_is_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stale: str
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["ls"]) == 0
    shown = capsys.readouterr().out
    assert stale in shown
    assert "\u2502" in shown
    assert "80 B" in shown


def test_ls_on_a_terminal_without_rich_is_plain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stale: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for module in ("rich.console", "rich.table", "rich.text"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["ls"]) == 0
    assert "  A     10          float64  80 B" in capsys.readouterr().out


def test_clean_takes_only_the_namespaces_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    stale, other = names.new_namespace(), names.new_namespace()
    programs = [start(stale), start(other)]  # both before one is dead: a new program takes back what is
    for program in programs:
        kill(program)
    try:
        assert main(["clean", "--dry-run", other]) == 0
        shown = capsys.readouterr().out
        assert f"pydsm.{other}.data.A" in shown
        assert stale not in shown
        assert main(["clean", other]) == 0
        assert stale not in capsys.readouterr().out
        assert {stale, other} & {*catalog.namespaces()} == {stale}
    finally:
        catalog.reclaim()


def test_clean_refuses_what_lives_and_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    stale = names.new_namespace()
    with pydsm.Team(1) as team:
        A = team.array("A", 3)
        kill(start(stale))
        assert main(["clean", team.namespace, "nobodys", stale]) == 1
        told = capsys.readouterr()
        assert f"namespace {team.namespace!r} is in use by a living program: nothing of it is removed" in told.err
        assert "namespace 'nobodys' is none of yours" in told.err
        assert f"pydsm.{stale}.data.A" in told.out
        assert stale not in catalog.namespaces()
        assert pydsm.attach(f"{team.namespace}/A").name == A.name


def test_run_sets_the_number_of_workers(tmp_path) -> None:
    program = tmp_path / "prog.py"
    program.write_text("import sys, pydsm\nwith pydsm.Team() as team:\n    print(team.size, sys.argv[1:])\n")
    command = [sys.executable, "-m", "pydsm", "run", "-n", "3", str(program), "--size", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "3 ['--size', '7']\n"


def test_a_missing_program_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nowhere.py"]) == 2
    assert "no program 'nowhere.py'" in capsys.readouterr().err


def test_no_command_is_the_help_and_the_version_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: pydsm" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert pydsm.__version__ in capsys.readouterr().out


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("ls", "clean", "run"))


def test_a_program_gets_what_the_command_does_not_know(tmp_path: Path) -> None:
    def output(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "pydsm", *arguments], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    program = tmp_path / "shown.py"
    program.write_text("import sys; print(sys.argv[1:])\n")
    explored = json.loads(
        output("explore", str(program), "--seeds", "1", "--size", "3", "--json", "--", "--seeds", "x")
    )
    assert explored["program"][1:] == ["--size", "3", "--seeds", "x"]
    assert output("run", str(program), "-n", "3") == "['-n', '3']\n"
    assert "unrecognized arguments: --size" in output("ls", "--size")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m pydsm lab | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("SB\n", "")
