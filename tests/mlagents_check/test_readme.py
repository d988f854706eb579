"""The example in the README."""

import doctest

from common import ROOT


def test_the_readme_example_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(ROOT / "packages/mlagents_check/README.md"), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0
