"""The version of ML-Agents that a build is for, and what lessons take from it."""

import pytest

from common import trainer_env
from common.aws_session import Connection
from helpers import mlagents
from mlagents_check import trainer_config
from sample_env import make_sample_build, record_demonstrations
from tests.conftest import find_trainer


@pytest.mark.parametrize(
    ("number", "steps", "sentence"),
    [
        ("0.11.0", 500, "It counts environment steps, and Unity runs its .nn models with Barracuda."),
        ("1.1.0", 6000, "It counts agent steps, and Unity runs its .onnx models with the Inference Engine."),
    ],
)
def test_it_is_found_from_the_build(tmp_path, number, steps, sentence):
    make_sample_build(tmp_path, trainer=number)
    version = mlagents.find(tmp_path, Connection("embedded", None, "1", "r", "b", "role"))
    assert (version.number, version.steps(500, agents=12)) == (number, steps)
    assert str(version) == f"ML-Agents {number} trains this build. {sentence}"
    assert set(version.metrics) == {"mean_reward", "std_reward", "step"}


def test_without_a_build_it_is_the_default(tmp_path):
    assert mlagents.find(tmp_path).number == mlagents.find(tmp_path / "none").number == trainer_env.DEFAULT


@pytest.mark.parametrize("number", ["0.11.0", pytest.param("1.1.0", marks=pytest.mark.v1)])
def test_hyperparameters_that_imitate_pass_the_check(tmp_path, number):
    find_trainer(number)
    make_sample_build(tmp_path, trainer=number)
    (demonstration,) = record_demonstrations(tmp_path, steps=300)
    hyperparameters = {"max_steps": 50000, **mlagents.Version(number).imitate(demonstration.name)}
    report = trainer_config.check_folder(tmp_path, ["3DBall"], hyperparameters, trainer=number)
    assert report.errors == report.warnings == ()
    assert demonstration.name in str(hyperparameters)
