"""The README's example runs as written: a container project that this package knows nothing of."""

import doctest
import re

from common import ROOT

README = ROOT / "packages" / "sagemaker_local" / "README.md"


def test_the_example_trains_the_program_that_it_shows(own, monkeypatch, tmp_path):
    monkeypatch.delenv("EMBEDDED_TRAIN_PROGRAM")
    monkeypatch.chdir(tmp_path)
    [program] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "train.py").write_text(program)
    assert len(program.splitlines()) < 16
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert (failed, tried > 20) == (0, True)


def test_the_package_does_not_mention_the_project():
    forbidden = re.compile(
        r"unity|ml-?agents|brain|3dball|container/|helpers|trainer environment|notebook(?! ?instance)", re.IGNORECASE
    )
    sources = [path for path in README.parent.rglob("*") if path.suffix in (".py", ".md")]
    assert len(sources) > 25
    found = {path.name: forbidden.findall(path.read_text()) for path in sources}
    assert {name: hits for name, hits in found.items() if hits} == {}
