"""An embedded AWS whose jobs run the small program of tests/embedded: these tests are of launching and following."""

import sys
from pathlib import Path

import pytest

from helpers import aws, embedded

PROGRAM = Path(__file__).parents[1] / "embedded" / "program.py"


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    home = str(tmp_path_factory.mktemp("helpers-embedded"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", home)
        with pytest.MonkeyPatch.context() as for_the_server:
            for_the_server.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {PROGRAM}")
            for_the_server.setenv("EMBEDDED_MAX_JOBS", "6")
            embedded.start()
        yield aws.connect("embedded")
        aws.restore_environment()
        embedded.stop()
