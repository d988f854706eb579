"""What a notebook's first cell imports: nothing heavy that the notebook does not use."""

import ast
import json
import subprocess
import sys
from itertools import chain

import pytest

from common import ROOT
from tools import tutorial

HEAVY = (
    "boto3",
    "docker",
    "matplotlib",
    "moto",
    "pandas",
    "sagemaker",
    "scipy",
    "tensorboard",
    "papermill",
    "requests",
)
SDK = {"boto3", "matplotlib", "pandas", "requests", "sagemaker", "scipy"}  # what the SageMaker SDK brings, and a curve
USED = [
    ("01", set()),
    ("02 03", {"boto3", "docker", "pandas", "requests"}),  # preflight looks for a Docker engine
    (
        "00 05 06 99",
        {"boto3", "matplotlib", "pandas"},
    ),  # in 00 the names of jobs and of the repository are their packages'
    ("04 07 08 09 10", SDK),
]


def imports(notebook):
    """Return the import lines of a notebook."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    nodes = [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]
    return [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_each_notebook_is_listed():
    assert sorted(number for numbers, _ in USED for number in numbers.split()) == [
        notebook.stem[:2] for notebook in tutorial.list_notebooks()
    ]


@pytest.mark.parametrize(("numbers", "heavy"), USED)
def test_notebooks_import_what_they_use(numbers, heavy):
    """What several notebooks import together is at least what each of them does."""
    lines = [imports(notebook) for notebook in tutorial.list_notebooks() if notebook.stem[:2] in numbers.split()]
    assert all(lines)
    code = "; ".join([*chain(*lines), f"import sys; print(*sorted(set({HEAVY}) & set(sys.modules)))"])
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(process.stdout.split()) == heavy
