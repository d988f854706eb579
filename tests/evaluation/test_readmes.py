"""The example in a package's README does what it says."""

import doctest
import shutil

import pytest

from common import ROOT


@pytest.mark.parametrize("package", ["common", "evaluation", "policy_files", "reward_curves", "sample_env"])
def test_the_example_works(package, request, tmp_path, monkeypatch):
    readme = ROOT / "packages" / package / "README.md"
    if "3DBall.nn" in readme.read_text():
        shutil.copy(request.getfixturevalue("untrained") / "3DBall.nn", tmp_path)
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(readme), module_relative=False)
    assert tried and not failed
