"""A copy of the project's folders in which notebooks can run, on an embedded AWS of their own."""

import shutil

import pytest

import sagemaker_local as embedded
from common import ROOT
from tools import tutorial


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Give a folder with notebooks/, container/ and an empty unity-volume/, as after a clone."""
    home = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (home / "container").symlink_to(ROOT / "container")
    (home / "unity-volume").mkdir()
    shutil.copy(ROOT / "unity-volume/README.md", home / "unity-volume")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(home / ".embedded"))
        patch.delenv("MPLBACKEND")  # a kernel chooses its own, which shows pictures
        yield home
        embedded.stop()


@pytest.fixture(scope="module")
def run(project):
    """Give a function that runs a notebook by its number and returns the text that its cells put out."""

    def run_notebook(number, folder="executed", **parameters):
        (notebook,) = (project / "notebooks").glob(f"{number:02}_*.ipynb")
        return read_output(tutorial.execute(notebook, parameters, project / folder))

    return run_notebook


def read_output(executed):
    import nbformat

    texts = []
    for cell in nbformat.read(executed, as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts.append(output.get("text") or data.get("text/html") or data.get("text/plain") or "")
    return "\n".join(texts)


@pytest.fixture(scope="module")
def road(run):
    """Run all notebooks in their order with their own defaults, but for trainings of some hundred steps."""
    short = {
        4: {"max_steps": 500},
        7: {"max_steps": 600, "interrupt_after": 250, "further_steps": 750},
        8: {"max_steps": 500, "seeds": [1, 2]},
    }
    return {number: run(number, **short.get(number, {})) for number in range(1, 9)}


@pytest.fixture(scope="module")
def result(project, road):
    """Give the folder that notebook 5 wrote."""
    (picture,) = (project / "results").glob("*/rewards.png")
    return picture.parent
