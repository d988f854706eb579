"""Fixtures: a model for each brain of the sample environment."""

import pytest


@pytest.fixture(scope="session")
def untrained(export_policies):
    """Return a folder with a model for each brain of the sample environment, which has learned nothing."""
    return export_policies("3DBall", "Seeker", "Carrier")
