"""A session for lessons 0 and 99, and what becomes of the settings once an account is empty."""

import boto3
import pytest
from botocore.stub import Stubber

from common.aws_session import ConnectError, Connection
from helpers import account, settings

KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "secret"}


@pytest.fixture(autouse=True)
def file(monkeypatch, tmp_path):
    for name in settings.NAMES:
        monkeypatch.delenv(f"TRAINING_{name.upper()}", raising=False)
    monkeypatch.setenv("TRAINING_SETTINGS", str(tmp_path / "settings.toml"))
    return tmp_path / "settings.toml"


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (
            None,
            "Expected AWS credentials, found none. Run `aws configure` (access keys) or `aws configure sso`; if they are in a "
            "profile, set AWS_PROFILE to its name.",
        ),
        (
            KEYS,
            'Expected a region, found none. Set region in the first code cell, such as "us-east-1", or run `aws configure`.',
        ),
    ],
)
def test_what_a_session_lacks_is_said(monkeypatch, credentials, message):
    lacking = type("Session", (), {"region_name": None, "get_credentials": lambda self: credentials})()
    monkeypatch.setattr(account, "open_session", lambda region: lacking)
    with pytest.raises(ConnectError) as error:
        account.connect("aws")
    assert str(error.value) == message


@pytest.mark.parametrize(("status", "gone"), [(404, True), (403, False), (None, False)])
def test_settings_that_name_a_deleted_bucket(file, status, gone):
    settings.write("aws", "mlagents-training", "b-1", "eu-west-1")
    s3 = boto3.client("s3", region_name="eu-west-1", **KEYS)
    session = type("Session", (), {"client": lambda self, service: s3})()
    with Stubber(s3) as stub:
        if status:
            stub.add_client_error("head_bucket", str(status), http_status_code=status)
        else:
            stub.add_response("head_bucket", {})
        advice = account.advise_on_settings(Connection("aws", session, "", "eu-west-1", "b-1", ""))
    assert advice == gone * (
        'settings.toml still says target = "aws" with the bucket b-1, which is gone: the next notebook would make it again. '
        f"Delete {file} to work on the embedded AWS, or run lesson 0 again."
    )
    assert account.advise_on_settings(Connection("embedded", None, "", "eu-west-1", "b-1", "")) == ""
