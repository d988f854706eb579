"""Fixtures: models that ML-Agents itself exported, and those that a real training left."""

import subprocess
from pathlib import Path

import pytest

from common import trainer_env

POLICIES = Path(__file__).with_name("policies.py")


def export(folder, *kinds):
    """Let ML-Agents make policies, see `policies.py`."""
    done = subprocess.run(
        [trainer_env.find().python, POLICIES, folder, *kinds], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Give a folder with models of the kinds that are used most."""
    return export(tmp_path_factory.mktemp("policies"), "ppo_continuous", "ppo_discrete", "sac_continuous")


@pytest.fixture(scope="session")
def exported_too(tmp_path_factory):
    """Give a folder with models of all other kinds."""
    kinds = ["ppo_one_branch", "sac_discrete", "bc_continuous", "bc_discrete", "ppo_cameras", "ppo_nature_cnn"]
    kinds += ["ppo_resnet", "ppo_recurrent", "ppo_recurrent_discrete"]
    return export(tmp_path_factory.mktemp("policies"), *kinds)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """Give a folder with a model for each brain of the sample environment, which has learned nothing."""
    return export(tmp_path_factory.mktemp("untrained"), "3DBall", "Seeker", "Carrier")
