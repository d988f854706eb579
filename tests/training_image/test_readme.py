"""The README's example is true."""

import doctest

from common import ROOT


def test_the_example_runs(monkeypatch):
    monkeypatch.delenv("TRAINING_BASE_IMAGE", raising=False)
    found = doctest.testfile(str(ROOT / "packages/training_image/README.md"), module_relative=False)
    assert found.attempted and not found.failed
