"""Notebook 3's line for the Unity Editor: what it runs is there to run."""

import contextlib
import io

import nbformat
import pytest

import training_image as image
from common import ROOT

TAG, DIGEST = "0123456789abcdef", "sha256:" + "ab" * 32
NAMED = image.Image("registry.example", TAG)
PUSHED = image.Image("registry.example", TAG, digest=DIGEST)


@pytest.fixture(scope="module")
def cell():
    """Return the source of the cell that prints the line."""
    cells = nbformat.read(ROOT / "notebooks/03_build_and_push_image.ipynb", as_version=4).cells
    [source] = [cell.source for cell in cells if cell.cell_type == "code" and "--publish" in cell.source]
    return source


@pytest.mark.parametrize(
    ("built", "pushed", "end"),
    [
        ("an image", PUSHED, f" mlagents-0.11.0:{TAG} train max_steps=50000"),
        ("an image", NAMED, f" mlagents-0.11.0:{TAG} train max_steps=50000"),  # built, and no registry here
        (None, PUSHED, f" registry.example/mlagents-0.11.0@{DIGEST} train max_steps=50000"),  # of another engine
    ],
)
def test_the_line_names_an_image_that_can_be_had(cell, built, pushed, end):
    said = run(cell, built, pushed)
    assert said.startswith("mkdir -p results/editor && docker run --rm --publish 127.0.0.1:5004:5004 ")
    assert said.endswith(f'"$(id -u):$(id -g)"{end}\n')


def test_without_an_image_it_says_why(cell):
    assert run(cell, None, NAMED) == "There is no image to run: none was built or pushed above.\n"


def run(cell, built, pushed):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(cell, {"built": built, "named": NAMED, "pushed": pushed})
    return shown.getvalue()
