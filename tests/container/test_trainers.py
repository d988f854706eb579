"""The seam between trainer versions: one is chosen, once, and nothing else asks which."""

import re

import pytest
import trainers
from refusal import RefusalError

from common import ROOT
from common.contract import DEFAULT_TRAINER, TRAINERS

ASKS = re.compile(
    r"""(if|elif|while|and|or|not|return)\b[^\n]*?(==|!=|<=?|>=?|\bin\b)\s*[(\[{]?["'](0\.11|1\.1)(\.0)?["']"""
    r"""|["'](0\.11|1\.1)(\.0)?["']\s*(==|!=|<=?|>=?)"""
)


def test_nothing_outside_the_seam_branches_on_the_version():
    sources = [
        path
        for room in ("container", "packages", "helpers", "tools")
        for path in [*(ROOT / room).rglob("*.py"), ROOT / "container/train"]
        if (ROOT / "container/trainers") not in path.parents
    ]
    assert len(sources) > 100
    assert [(path, found[0]) for path in sources for found in [ASKS.search(path.read_text())] if found] == []


@pytest.mark.parametrize(
    "line",
    [
        'if version == "1.1.0":',
        'x = a if trainer in ("0.11.0", "b") else c',
        'return trainer != "0.11.0"',
        '"1.1" == x',
    ],
)
def test_the_search_finds_branches(line):
    assert ASKS.search(line)


def test_the_default_is_chosen_where_no_trainer_is_installed():
    assert trainers.chosen().VERSION == DEFAULT_TRAINER
    assert TRAINERS[DEFAULT_TRAINER] == trainers.chosen().ROW


def test_a_job_for_another_version_is_refused(tmp_path):
    trainers.check(None, str(tmp_path))
    trainers.check("0.11.0", str(tmp_path))
    message = (
        "Hyperparameter trainer-version is 1.1.0, but 0.11.0 is installed here. Use the image, or the trainer "
        "environment, of ML-Agents 1.1.0, or leave trainer-version out."
    )
    with pytest.raises(RefusalError, match=f"^{re.escape(message)}$"):
        trainers.check("1.1.0", str(tmp_path))
    (tmp_path / "results").mkdir()
    with pytest.raises(
        RefusalError, match=r"^The checkpoints are those of ML-Agents 1.1, but ML-Agents 0.11 is installed"
    ):
        trainers.check(None, str(tmp_path))
