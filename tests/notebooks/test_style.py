"""Every notebook is written the same way: card, one parameters cell, short cells, no outputs, no shell, no `def`."""

import ast
import re

import nbformat
import papermill
import pytest

from common import ROOT
from tools import tutorial

NOTEBOOKS = tutorial.list_notebooks()
CARD_ROWS = ["**You will**", "**You need**", "**Time**", "**Cost**"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebooks_are_numbered_without_a_gap():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, len(NOTEBOOKS) + 1)]
    assert len(NOTEBOOKS) >= 5


def test_it_is_a_valid_notebook_of_python_3(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_it_begins_with_a_card(notebook, path):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {int(path.stem[:2])} · [A-Z]", first.source)
    rows = [line.split("|")[1].strip() for line in first.source.splitlines() if line.startswith("| **")]
    assert rows == CARD_ROWS


def test_it_ends_with_what_one_has_now_and_where_to_go(notebook):
    last = notebook.cells[-1]
    assert last.cell_type == "markdown"
    assert "## What you have now" in last.source
    assert ".ipynb)" in last.source


def test_links_lead_somewhere(notebook, path):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                assert target.startswith("https://") or (path.parent / target).is_file(), target


def test_it_has_one_parameters_cell_and_each_parameter_is_explained(notebook, path):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"[a-z][a-z_]* = \S.*  # \S.+", line), line
    assert papermill.inspect_notebook(str(path))


def test_it_is_stored_without_outputs(notebook):
    for cell in code(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_a_cell_does_one_thing(notebook):
    for cell in code(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 14, cell.source


def test_no_cell_defines_or_shells_out_or_catches(notebook):
    for cell in code(notebook):
        assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.While))


def test_a_sentence_of_why_stands_before_the_work(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code" and before.cell_type == "code":
            assert "parameters" in before.metadata.get("tags", []), cell.source


def test_it_is_listed_in_the_readme(path):
    assert f"(notebooks/{path.name})" in (ROOT / "README.md").read_text()


def test_same_parameter_same_default(notebook):
    defaults = {"target": '"embedded"', "role": '""', "bucket": '""', "unity_volume": '"../unity-volume"'}
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    found = dict(line.split("  #")[0].split(" = ") for line in cell.source.splitlines())
    assert {name: value for name, value in found.items() if name in defaults}.items() <= defaults.items()
