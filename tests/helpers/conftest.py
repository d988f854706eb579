"""An embedded AWS whose jobs run the small program of tests/embedded: these tests are of launching and following."""

import contextlib
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.awsrequest import AWSResponse

from helpers import aws, embedded

PROGRAM = Path(__file__).parents[1] / "embedded" / "program.py"


@pytest.fixture
def failing(connection):
    """Give a context in which calls get the answers that a test lays down: an error, a code of AWS's, or none.

    ``"before-call"`` keeps the call from AWS, ``"after-call"`` only its answer from the caller.
    """

    @contextlib.contextmanager
    def fail(event, *answers):
        left = iter(answers) if len(answers) > 1 else itertools.repeat(*answers)  # one is for all calls

        def answer(**_):
            given = next(left, None)
            if isinstance(given, Exception):
                raise given
            if given:
                code, status = given
                return AWSResponse("", status, {}, None), {
                    "Error": {"Code": code, "Message": code},
                    "ResponseMetadata": {"HTTPStatusCode": status},
                }
            return None

        emitter = connection.session.events
        emitter.register(event, answer, unique_id=event)
        try:
            yield replace(connection, endpoint=None)  # as AWS would be asked
        finally:
            emitter.unregister(event, unique_id=event)

    return fail


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
        embedded.stop()
