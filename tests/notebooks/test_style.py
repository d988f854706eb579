"""Every notebook is written the same way: card, one parameters cell, short cells, no outputs, no shell, no `def`."""

import ast
import importlib.util
import re

import nbformat
import papermill
import pytest

from common import ROOT
from tools import tutorial

NOTEBOOKS = tutorial.list_notebooks()
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))
CARD_ROWS = ["**You will**", "**You will learn**", "**You need**", "**Time**", "**Cost**"]
TEACHES = {
    0: "boto3",
    1: "",
    2: "boto3",
    3: "docker",
    4: "sagemaker",
    5: "pandas",
    6: "pandas",
    7: "sagemaker",
    8: "sagemaker",
    9: "sagemaker",
    10: "sagemaker",
    99: "boto3",
}
"""Number of a lesson -> the SDK that it teaches, and so imports; empty for one about files alone."""
OURS = {"helpers", "tools", *(path.name for path in (ROOT / "packages").iterdir())}
MOST_NAMES = 8
FOOT = (
    "Stuck? [Troubleshooting](../docs/troubleshooting.md) goes by what you see. To look something up: "
    "[glossary](../docs/glossary.md), [costs](../docs/costs.md), [Windows](../docs/windows.md), "
    "[Apple silicon](../docs/apple-silicon.md), [Studio](../docs/studio.md)."
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(params=SOLUTIONS, ids=lambda path: path.stem)
def solution(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebooks_are_numbered_without_a_gap():
    *numbers, last = [path.stem[:2] for path in NOTEBOOKS]
    assert (numbers, last) == ([f"{number:02}" for number in range(len(numbers))], "99")  # which stays the last
    assert TEACHES.keys() == {int(path.stem[:2]) for path in NOTEBOOKS}


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
    assert last.source.splitlines()[-1] == FOOT


def find_imports(path):
    """Return what a notebook imports, by the name that it has there."""
    found = {}
    for cell in code(nbformat.read(path, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, and no package
        return False


def find_names_of_ours(path):
    """Return what a notebook takes from this project's packages: functions and classes, by their full names."""
    ours = {name: full for name, full in find_imports(path).items() if full.split(".")[0] in OURS}
    modules = {name for name, full in ours.items() if is_module(full)}
    used = {ours[name] for name in ours.keys() - modules}
    for cell in code(nbformat.read(path, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                used.add(f"{ours[node.value.id]}.{node.attr}")
    return used


def test_it_imports_the_sdk_that_it_teaches(path):
    imported = {full.split(".")[0] for full in find_imports(path).values()}
    assert {TEACHES[int(path.stem[:2])]} - {""} <= imported


def test_it_takes_few_names_of_ours(path):
    assert len(find_names_of_ours(path)) in range(1, MOST_NAMES + 1), sorted(find_names_of_ours(path))


def test_its_last_cell_gives_two_or_three_tasks_and_what_to_expect(path):
    tasks = nbformat.read(path, as_version=4).cells[-1].source.partition("## On your own\n")[2]
    listed = re.findall(r"^\d\. .+(?:\n   .+)*", tasks, re.MULTILINE)
    assert len(listed) in (2, 3)
    assert all("Expect" in task for task in listed)


def test_each_lesson_has_a_solution():
    assert [path.name for path in SOLUTIONS] == [path.name for path in NOTEBOOKS]


def test_a_solution_is_a_small_notebook_of_its_lesson(solution):
    notebook = nbformat.read(solution, as_version=4)
    nbformat.validate(notebook)
    lesson = solution.parents[1] / solution.name
    assert f"](solutions/{solution.name})" in nbformat.read(lesson, as_version=4).cells[-1].source
    assert notebook.cells[0].source.startswith(f"# Solution {int(solution.stem[:2])} · ")
    assert f"](../{solution.name})" in notebook.cells[0].source
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(notebook))
    of_lesson = papermill.inspect_notebook(str(lesson))
    for name, parameter in papermill.inspect_notebook(str(solution)).items():
        assert of_lesson[name]["default"] == parameter["default"]
    assert any("assert " in cell.source for cell in code(notebook))


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
        most = 16 if "parameters" in cell.metadata.get("tags", []) else 14
        assert len(cell.source.splitlines()) <= most, cell.source


def test_no_cell_defines_or_shells_out_or_catches(notebook):
    for cell in code(notebook):
        assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.While))


def test_a_job_that_did_not_end_is_told_where_its_end_is_asserted(notebook):
    for cell in code(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assert) and "Completed" in ast.unparse(node.test):
                assert re.search(r"\.failure or |map\(str, ", ast.unparse(node.msg)), cell.source


def test_a_sentence_of_why_stands_before_the_work(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code" and before.cell_type == "code":
            assert "parameters" in before.metadata.get("tags", []), cell.source


def test_it_is_listed_in_the_readme(path):
    assert f"(notebooks/{path.name})" in (ROOT / "README.md").read_text()


def test_same_parameter_same_default(notebook):
    defaults = {"target": '""', "role": '""', "bucket": '""', "region": '""', "unity_volume": '"../unity-volume"'}
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    found = dict(line.split("  #")[0].split(" = ") for line in cell.source.splitlines())
    assert {name: value for name, value in found.items() if name in defaults}.items() <= defaults.items()
