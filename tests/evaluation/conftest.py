"""Fixtures: a model for each brain of the sample environment."""

import pytest


@pytest.fixture(scope="session")
def untrained(tmp_path_factory, export_policies):
    """Give a folder with a model for each brain of the sample environment, which has learned nothing."""
    return export_policies(tmp_path_factory.mktemp("untrained"), "3DBall", "Seeker", "Carrier")
