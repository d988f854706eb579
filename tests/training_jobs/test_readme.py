"""The examples in the READMEs of the packages that launch jobs."""

import doctest

import pytest

from common import ROOT


@pytest.mark.parametrize("package", ["training_jobs", "many_runs"])
def test_the_readme_examples_print_what_they_show(package):
    readme = ROOT / "packages" / package / "README.md"
    found = doctest.testfile(str(readme), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 1
    assert found.failed == 0
