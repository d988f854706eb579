"""Fixtures: models that ML-Agents itself exported."""

import pytest


@pytest.fixture(scope="session")
def exported(export_policies):
    """Return a folder with models of the kinds that are used most."""
    return export_policies("ppo_continuous", "ppo_discrete", "sac_continuous")


@pytest.fixture(scope="session")
def exported_too(export_policies):
    """Return a folder with models of all other kinds."""
    kinds = ["ppo_one_branch", "sac_discrete", "bc_continuous", "bc_discrete", "ppo_cameras", "ppo_nature_cnn"]
    kinds += ["ppo_resnet", "ppo_recurrent", "ppo_recurrent_discrete"]
    return export_policies(*kinds)
