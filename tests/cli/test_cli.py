from __future__ import annotations

import json
import subprocess
import sys

import pytest

import pydsm
from pydsm.cli import main
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
    from pydsm.core import names

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
