"""The target: what `connect` gives, and what it says when something is missing."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    LoginRefreshRequired,
    NoCredentialsError,
    ParamValidationError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.stub import Stubber

from helpers import aws, embedded

SERVER = SimpleNamespace(
    url="http://127.0.0.1:1", sdk_config="config.yaml", keys=SimpleNamespace(access="ONE", secret="one")
)


@pytest.fixture
def readers_environment(monkeypatch):
    """Put back whatever a test does to the environment, `connect` included."""
    for name in [*aws.FAKE_KEYS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"]:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    before = dict(aws._before)
    aws._before.clear()
    yield monkeypatch
    aws.restore_environment()
    aws._before.update(before)


def test_embedded_gives_account_bucket_and_role(connection):
    assert connection.target == "embedded"
    assert connection.account == "123456789012"
    assert connection.bucket == "mlagents-us-east-1-123456789012"
    assert connection.role == "arn:aws:iam::123456789012:role/mlagents-training"
    assert connection.endpoint.startswith("http://127.0.0.1:")
    assert str(connection).splitlines() == [
        f"the embedded AWS at {connection.endpoint}, region us-east-1",
        "bucket mlagents-us-east-1-123456789012",
        "role   arn:aws:iam::123456789012:role/mlagents-training",
    ]


def test_connecting_again_changes_nothing(connection):
    assert str(aws.connect("embedded")) == str(connection)


def test_another_bucket_is_made_and_private(connection):
    assert aws.connect("embedded", bucket="my-own-bucket").bucket == "my-own-bucket"
    block = connection.client("s3").get_public_access_block(Bucket="my-own-bucket")
    assert set(block["PublicAccessBlockConfiguration"].values()) == {True}


def test_every_client_of_the_process_goes_to_the_embedded_aws(connection):
    assert boto3.client("s3").meta.endpoint_url == connection.endpoint
    assert os.environ["AWS_ACCESS_KEY_ID"] == embedded.find().keys.access
    assert os.environ["NO_PROXY"].endswith("127.0.0.1")
    assert "TelemetryOptOut: true" in Path(os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text()


def test_what_would_lead_past_it_is_taken_away_and_given_back(readers_environment):
    readers_environment.setenv("AWS_PROFILE", "mine")
    readers_environment.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example")
    readers_environment.setenv("AWS_ACCESS_KEY_ID", "REAL")
    aws.use_environment(SERVER)
    assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL_S3" not in os.environ
    assert os.environ["AWS_ACCESS_KEY_ID"] == "ONE"
    aws.use_environment(SERVER)
    aws.restore_environment()
    assert os.environ["AWS_PROFILE"] == "mine"
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "https://elsewhere.example"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "REAL"


def test_an_unknown_target():
    with pytest.raises(aws.ConnectError, match='to be "embedded" or "aws", found \'azure\''):
        aws.connect("azure")


def test_aws_without_a_region(readers_environment):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        readers_environment.delenv(name, raising=False)
    with pytest.raises(aws.ConnectError, match="Expected an AWS region, found none. Run `aws configure set region"):
        aws.connect("aws", role="role")


def test_aws_without_credentials(readers_environment):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        readers_environment.delenv(name, raising=False)
    with pytest.raises(aws.ConnectError, match="Expected AWS credentials, found none. Run `aws configure`"):
        aws.connect("aws", role="role", region="eu-west-1")


def test_aws_without_a_role(readers_environment):
    readers_environment.setenv("AWS_ACCESS_KEY_ID", "TESTING")
    readers_environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with pytest.raises(aws.ConnectError, match="Expected the name or ARN of an execution role, found none"):
        aws.connect("aws", region="eu-west-1")


def test_aws_that_refuses(readers_environment):
    readers_environment.setenv("AWS_ACCESS_KEY_ID", "TESTING")
    readers_environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    readers_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    readers_environment.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(aws.ConnectError, match="AWS refused, or could not be reached: Could not connect"):
        aws.connect("aws", role="role", region="eu-west-1")


def test_aws_is_the_same_code_with_the_readers_names(connection, monkeypatch):
    """Against the embedded AWS as a stand-in for an account: role by name, bucket by default."""
    monkeypatch.setattr(aws, "restore_environment", lambda: None)
    mine = aws.connect("aws", role="mlagents-training", region="us-east-1")
    assert (mine.target, mine.endpoint) == ("aws", None)
    assert (mine.account, mine.bucket, mine.role) == (connection.account, connection.bucket, connection.role)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_made_in_its_region(connection, region):
    session = boto3.Session(region_name=region)
    aws.make_bucket(session, f"made-in-{region}")
    place = connection.client("s3").get_bucket_location(Bucket=f"made-in-{region}")["LocationConstraint"]
    assert place == (None if region == "us-east-1" else region)


OWNED = {"Bucket": "mine", "ExpectedBucketOwner": "123456789012"}
HEAD = ("head_bucket", {}, OWNED)
MISSING = ("head_bucket", "404", OWNED)
BLOCKED = ("get_public_access_block", {"PublicAccessBlockConfiguration": aws.NOT_PUBLIC}, OWNED)
OPEN = ("get_public_access_block", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}, OWNED)
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DEFAULT = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
CONFIGURED = {
    "ServerSideEncryptionConfiguration": {
        "Rules": [{"ApplyServerSideEncryptionByDefault": DEFAULT, "BucketKeyEnabled": True}]
    }
}
PLAIN = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


def encryption(verb, answer):
    return f"{verb}_bucket_encryption", answer, {**OWNED, **(CONFIGURED if verb == "put" else {})}


BLOCK = ("put_public_access_block", {}, {**OWNED, "PublicAccessBlockConfiguration": aws.NOT_PUBLIC})


@pytest.mark.parametrize(
    "answers, problem",
    [
        ([HEAD, BLOCKED], ""),
        ([HEAD, OPEN, BLOCK], ""),
        ([HEAD, ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration", OWNED), BLOCK], ""),
        ([HEAD, ("get_public_access_block", "AccessDenied", OWNED), BLOCK], ""),
        ([HEAD, OPEN, ("put_public_access_block", "AccessDenied", BLOCK[2])], "bucket mine to be blocked, found that"),
        ([("head_bucket", "403", OWNED)], "bucket mine to be yours, found that S3 refuses it"),
        ([MISSING, ("create_bucket", "BucketAlreadyExists", {"Bucket": "mine"})], "to be yours"),
        ([MISSING, ("create_bucket", {}, {"Bucket": "mine"}), BLOCKED], ""),
        ([HEAD, BLOCKED, encryption("get", {**CONFIGURED})], ""),
        ([HEAD, BLOCKED, encryption("get", {"ServerSideEncryptionConfiguration": PLAIN}), encryption("put", {})], ""),
        ([HEAD, BLOCKED, encryption("get", "AccessDenied"), encryption("put", {})], ""),
        (
            [HEAD, BLOCKED, encryption("get", "AccessDenied"), encryption("put", "AccessDenied")],
            f"with {KEY} by default",
        ),
        ([MISSING, ("create_bucket", "BucketAlreadyOwnedByYou", {"Bucket": "mine"}), OPEN, BLOCK], ""),
    ],
)
def test_a_bucket_is_ones_own_and_private_before_it_is_used(monkeypatch, answers, problem):
    key = KEY if "encryption" in str(answers) else ""
    session = boto3.Session("TESTING", "testing", region_name="us-east-1")
    aws.complete_requests(session, "123456789012", key)
    s3 = session.client("s3")
    monkeypatch.setattr(session, "client", lambda service: s3)
    with Stubber(s3) as stub:
        for call, answer, expected in answers:
            if isinstance(answer, str):
                stub.add_client_error(call, answer, expected_params=expected)
            else:
                stub.add_response(call, answer, expected)
        if problem:
            with pytest.raises(aws.ConnectError, match=problem):
                aws.make_bucket(session, "mine", key)
        else:
            assert aws.make_bucket(session, "mine", key) == "mine"
        stub.assert_no_pending_responses()


VPC = {"subnets": ["subnet-0a1b"], "security_groups": ["sg-1", "sg-2"]}


@pytest.mark.parametrize(
    "given, problem",
    [
        ({"subnets": ["subnet-1"]}, "Expected subnets and security_groups together, or neither"),
        ({**VPC, "subnets": "subnet-1"}, "Expected subnets to be a list of up to 16 IDs .*, found 'subnet-1'"),
        ({**VPC, "subnets": ["vpc-1"]}, "Expected subnets to be a list of up to 16 IDs .*, found .*vpc-1"),
        ({**VPC, "security_groups": [f"sg-{n}" for n in range(6)]}, "Expected security_groups to be a list of up to 5"),
        ({"kms_key": "alias/mine"}, "Expected kms_key to be the ARN of a KMS key, such as .*, found 'alias/mine'"),
        ({"kms_key": KEY.replace("key/", "alias/")}, "Expected kms_key to be the ARN of a KMS key"),
    ],
)
def test_what_is_no_vpc_and_no_key(given, problem):
    with pytest.raises(aws.ConnectError, match=problem):
        aws.connect("aws", role="role", **given)


def test_vpc_and_key_are_the_connections(connection):
    made = aws.connect("embedded", bucket="encrypted", kms_key=KEY, **VPC)
    assert (made.subnets, made.security_groups, made.kms_key) == (("subnet-0a1b",), ("sg-1", "sg-2"), KEY)
    assert (
        made.client("s3").get_bucket_encryption(Bucket="encrypted")["ServerSideEncryptionConfiguration"]
        == (CONFIGURED["ServerSideEncryptionConfiguration"])
    )
    sent = []
    made.session.events.register(
        "before-call.s3", lambda model, params, **_: sent.append((model.name, params["headers"]))
    )
    s3 = made.client("s3")
    s3.put_object(Bucket="encrypted", Key="a", Body=b"a")
    s3.copy({"Bucket": "encrypted", "Key": "a"}, "encrypted", "b")
    s3.create_multipart_upload(Bucket="encrypted", Key="c")
    keys = {name: headers.get("x-amz-server-side-encryption-aws-kms-key-id") for name, headers in sent}
    uploads = dict.fromkeys(("PutObject", "CopyObject", "CreateMultipartUpload"), KEY)
    assert keys == {**uploads, "HeadObject": None}


def refusal(code, call="ListObjectsV2", status=400):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, call)


@pytest.mark.parametrize(
    "error, why",
    [
        *((refusal(code), "have expired") for code in aws.EXPIRED),
        (refusal("400", "HeadObject"), "have expired"),
        (SSOTokenLoadError(error_msg="no token"), "have expired"),
        (UnauthorizedSSOTokenError(), "have expired"),
        (TokenRetrievalError(provider="sso", error_msg="gone"), "have expired"),
        (CredentialRetrievalError(provider="sso", error_msg="gone"), "have expired"),
        (LoginRefreshRequired(), "have expired"),
        (NoCredentialsError(), "have expired"),
        (EndpointConnectionError(endpoint_url="https://s3"), "AWS cannot be reached: Could not connect"),
        (refusal("SlowDown", status=503), "AWS wants to be asked less often"),
        (refusal("InternalError", status=500), "AWS has a fault of its own"),
        (refusal("AccessDenied", status=403), ""),
        (refusal("400"), ""),
        (ParamValidationError(report="wrong"), ""),
    ],
)
def test_why_there_is_no_answer(connection, error, why):
    told = aws.explain_silence(replace(connection, endpoint=None), error)
    assert why in told and bool(why) == bool(told)
    assert aws.has_expired(error) == (why == "have expired")
    assert "`aws sso login`" in told or why != "have expired"
    # The embedded AWS knows no such keys, and its own faults are errors of this project.
    kept = isinstance(error, EndpointConnectionError) or "less often" in why
    assert bool(aws.explain_silence(connection, error)) == kept


def test_an_embedded_aws_that_has_gone_is_named(connection):
    gone = replace(connection, endpoint="http://127.0.0.1:9")
    with pytest.raises(aws.ConnectError, match=r"at http://127\.0\.0\.1:9 no longer answers.*from its first cell"):
        gone.client("s3")


def test_aws_with_a_profile_that_is_not_there(readers_environment):
    readers_environment.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(aws.ConnectError, match="profile .nowhere. could not be found"):
        aws.connect("aws", role="role")


def test_this_machine_is_never_asked_for_through_a_proxy(readers_environment):
    readers_environment.setenv("NO_PROXY", "intranet")
    readers_environment.setenv("no_proxy", "localhost")
    aws.use_environment(SERVER)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intranet,localhost,127.0.0.1"
