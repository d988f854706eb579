"""What a notebook's first cell imports: nothing heavy that the notebook does not use."""

import ast
import json
import subprocess
import sys

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
USED = {
    "00": {"boto3", "matplotlib", "pandas"},  # the names of jobs and of the repository are their packages'
    "01": set(),
    "02": {"boto3", "docker", "pandas", "requests"},  # preflight looks for a Docker engine
    "03": {"boto3", "docker", "pandas", "requests"},
    "04": SDK,
    "05": {"boto3", "matplotlib", "pandas"},
    "06": {"boto3", "matplotlib", "pandas"},
    "07": SDK,
    "08": SDK,
    "09": SDK,
    "10": SDK,
    "99": {"boto3", "matplotlib", "pandas"},
}


def imports(notebook):
    """Give the import lines of a notebook."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    nodes = [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]
    return [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]


@pytest.mark.parametrize("notebook", tutorial.list_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_imports_what_it_uses(notebook):
    lines = imports(notebook)
    assert lines
    code = "; ".join([*lines, f"import sys; print(*sorted(set({HEAVY}) & set(sys.modules)))"])
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == USED[notebook.stem[:2]]
