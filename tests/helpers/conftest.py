"""An embedded AWS whose jobs run the small program of tests/embedded: these tests are of launching and following."""

import os
import sys
from pathlib import Path

import pytest

from helpers import aws, embedded

PROGRAM = Path(__file__).parents[1] / "embedded" / "program.py"


@pytest.fixture(scope="session")
def connection(tmp_path_factory):
    settings = {
        "EMBEDDED_HOME": str(tmp_path_factory.mktemp("helpers-embedded")),
        "EMBEDDED_TRAIN_PROGRAM": f"{sys.executable} -S {PROGRAM}",
        "EMBEDDED_MAX_JOBS": "6",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    yield aws.connect("embedded")
    aws.restore_environment()
    embedded.stop()
    for name, value in before.items():
        aws.set_variable(name, value)
