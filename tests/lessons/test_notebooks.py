"""The lessons as notebooks: every cell is there, and run one after the other they print what the pages say."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.effort import LONG
from tests.lessons.pages import LESSONS, ROOT, blocks, run_together

nbformat = pytest.importorskip("nbformat")
FOLDED = re.compile(r"<details><summary>.*?```text\n(.*?)```", re.DOTALL)
EXECUTED = LESSONS if LONG else LESSONS[3:5]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "lessons" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(maker: ModuleType, folder: Path, *options: str) -> list[Any]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert maker.main([*options, str(folder)]) == 0
    paths = [Path(line) for line in said.getvalue().splitlines()]
    assert sorted(folder.iterdir()) == sorted(paths)
    return [nbformat.read(path, as_version=4) for path in paths]


def code_of(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_each_lesson_and_the_project_become_a_notebook_with_every_program(maker: ModuleType, tmp_path: Path) -> None:
    notebooks = made(maker, tmp_path / "new")
    assert len(notebooks) == len(LESSONS) + 1
    for page, notebook in zip(LESSONS, notebooks, strict=False):
        programs = [block.code.rstrip("\n") for block in blocks(page)]
        assert [code for code in code_of(notebook) if code in programs] == programs, page.name


def test_a_question_is_followed_by_a_cell_for_the_prediction(maker: ModuleType, tmp_path: Path) -> None:
    for notebook in made(maker, tmp_path)[: len(LESSONS)]:
        sources = [cell.source for cell in notebook.cells]
        question, run = sources.index("## Predict"), next(i for i, text in enumerate(sources) if text[:6] == "## Run")
        assert sources[run - 1].startswith("**My prediction:**")
        assert question < run - 2


def test_what_is_printed_is_folded_away_and_no_output_is_in_a_cell(maker: ModuleType, tmp_path: Path) -> None:
    for page, notebook in zip(LESSONS, made(maker, tmp_path), strict=False):
        folded = [found[1] for cell in notebook.cells if (found := FOLDED.match(cell.source))]
        assert folded == [block.prints for block in blocks(page) if block.prints is not None]
        assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_solutions_are_folded_and_can_be_left_out(maker: ModuleType, tmp_path: Path) -> None:
    with_solutions = made(maker, tmp_path / "teacher")
    without = made(maker, tmp_path / "student", "--without-solutions")
    for page, teacher, student in zip(LESSONS, with_solutions, without, strict=False):
        solutions = [block.code.rstrip("\n") for block in blocks(page) if block.section == "Solution"]
        hidden = [cell.source for cell in teacher.cells if "solution" in cell.metadata.get("tags", [])]
        assert hidden == solutions
        assert not set(solutions) & set(code_of(student))
        assert "# your program" in code_of(student)


def test_links_lead_from_where_the_notebook_is(maker: ModuleType, tmp_path: Path) -> None:
    for notebook in made(maker, tmp_path / "deep" / "folder"):
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", cell.source):
                    assert (tmp_path / "deep" / "folder" / target).exists(), target


def test_commands_run_in_the_repository_wherever_the_notebook_is(maker: ModuleType, tmp_path: Path) -> None:
    for notebook in made(maker, tmp_path / "deep" / "folder"):
        for command in (code for code in code_of(notebook) if code.startswith("%%sh\n")):
            go = command.splitlines()[1]
            told = subprocess.run(["sh", "-c", f"{go}; pwd"], cwd=tmp_path / "deep" / "folder", capture_output=True)
            assert told.stdout.decode().strip() == str(ROOT)


def test_notebooks_are_the_same_each_time(maker: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    assert json.dumps(made(maker, folder)) == json.dumps(made(maker, folder))


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
def test_cells_run_in_one_namespace_print_what_the_page_says(maker: ModuleType, tmp_path: Path, page: Path) -> None:
    notebook = made(maker, tmp_path)[LESSONS.index(page)]
    said = run_together([code for code in code_of(notebook) if not code.startswith("%%sh")])
    expected = {block.code.rstrip("\n"): block.prints for block in blocks(page) if block.prints is not None}
    assert {code: printed for code, printed in said if code in expected} == expected


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_runs_the_notebook(maker: ModuleType, tmp_path: Path, page: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = made(maker, tmp_path)[LESSONS.index(page)]
    nbclient.NotebookClient(notebook, timeout=50, resources={"metadata": {"path": str(ROOT)}}).execute()
    program = ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            program = "".join(output.get("text", "") for output in cell.outputs)
        elif found := FOLDED.match(cell.source):
            assert program == found[1]
