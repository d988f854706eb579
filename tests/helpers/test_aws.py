"""The target: what `connect` gives, and what it says when something is missing."""

import contextlib
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
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
from botocore.httpsession import URLLib3Session
from botocore.stub import Stubber

import account_setup
import sagemaker_local as embedded
from account_check import preflight
from common import ROOT, aws_session
from helpers import aws
from many_runs import tuning
from training_jobs import launching, sdk_request

REAL = "AKIAREALREALREALREAL"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {"subnets": ["subnet-0a1b"], "security_groups": ["sg-1", "sg-2"]}
FAKE_AWS = {  # what an account answers to those requests that a test lets through
    "GetCallerIdentity": "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>210987654321</Account><Arn>arn:aws:"
    "iam::210987654321:user/reader</Arn><UserId>A</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>",
    "publicAccessBlock": "<PublicAccessBlockConfiguration>"
    + "".join(f"<{name}>true</{name}>" for name in aws_session.NOT_PUBLIC)
    + "</PublicAccessBlockConfiguration>",
    "CreateTrainingJob": '{"TrainingJobArn": "arn:aws:sagemaker:eu-west-1:210987654321:training-job/a"}',
    "DescribeTrainingJob": '{"TrainingJobName": "a", "TrainingJobStatus": "InProgress"}',
    "CreateHyperParameterTuningJob": '{"HyperParameterTuningJobArn": "arn:aws:sagemaker:eu-west-1:210987654321:'
    'hyper-parameter-tuning-job/a"}',
    "DescribeHyperParameterTuningJob": '{"HyperParameterTuningJobName": "a"}',
}


@pytest.fixture
def readers_environment(monkeypatch):
    """Return a reader with keys and a region, and with nothing that leads elsewhere."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        if not name.endswith("_FILE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", REAL)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return monkeypatch


@pytest.fixture
def sent(monkeypatch):
    """Record whom each request of botocore's is sent to, and with whose key; none leaves this machine."""
    requests, really_send = set(), URLLib3Session.send

    def send(session, request):
        place, header = urlsplit(request.url), request.headers["Authorization"]
        key = re.search("Credential=([^/]+)", header.decode() if isinstance(header, bytes) else header)[1]
        requests.add((place.netloc, key))
        if place.hostname == "127.0.0.1":
            return really_send(session, request)
        target = request.headers.get("X-Amz-Target", b"").decode()
        action = None if target else re.search(r"Action=(\w+)", str(request.body))
        call = action[1] if action else target.rpartition(".")[2] or urlsplit(request.url).query
        text = FAKE_AWS.get(call, "")
        status = 200 if text or request.method == "HEAD" else 403
        if not text:
            refusal = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
            text = '{"__type": "AccessDenied"}' if target else refusal
        return AWSResponse(request.url, status, {}, SimpleNamespace(stream=lambda **_: iter([text.encode()])))

    monkeypatch.setattr(URLLib3Session, "send", send)
    return requests


@pytest.fixture(params=["embedded first", "aws first"])
def both(request, connection, readers_environment, sent):
    """Connect to an account and to the embedded AWS, in both orders."""
    connects = {
        "embedded": lambda: aws.connect("embedded"),
        "aws": lambda: aws.connect("aws", role="arn:aws:iam::210987654321:role/training"),
    }
    before = dict(os.environ)
    made = {name: connects[name]() for name in sorted(connects, reverse=request.param != "aws first")}
    assert dict(os.environ) == before
    sent.clear()
    return made["embedded"], made["aws"]


def test_embedded_has_account_bucket_and_role(connection):
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


def test_a_missing_role_is_not_replaced(connection):
    connection.client("iam").create_role(RoleName="mine", AssumeRolePolicyDocument=json.dumps(aws.TRUST_SAGEMAKER))
    assert aws.connect("embedded", role="mine").role == "arn:aws:iam::123456789012:role/mine"
    with pytest.raises(
        aws_session.ConnectError, match=r"Expected the role nobodys on the embedded target, found that An"
    ):
        aws.connect("embedded", role="nobodys")


def test_another_bucket_is_made_private(connection):
    assert aws.connect("embedded", bucket="my-own-bucket").bucket == "my-own-bucket"
    block = connection.client("s3").get_public_access_block(Bucket="my-own-bucket")
    assert set(block["PublicAccessBlockConfiguration"].values()) == {True}


CALLS = {
    "s3": lambda client: client.list_buckets(),
    "sts": lambda client: client.get_caller_identity(),
    "iam": lambda client: client.list_roles(),
    "sagemaker": lambda client: client.list_training_jobs(),
    "logs": lambda client: client.describe_log_groups(),
    "ecr": lambda client: client.describe_repositories(),
    "service-quotas": lambda client: client.list_services(),
}


def call_all(connection):
    """Call each service, through the connection and through its session."""
    for service, call in CALLS.items():
        for client in (connection.client(service), connection.session.client(service)):
            with contextlib.suppress(ClientError):
                call(client)


def went_to(sent, connection):
    """Return whether these requests are the connection's alone, with its own key; forget them."""
    seen = set(sent)
    sent.clear()
    if connection.endpoint:
        key = embedded.find(connection.home).keys.access
        return seen == {(connection.endpoint.removeprefix("http://"), key)}
    return bool(seen) and all(host.endswith(".amazonaws.com") and key == REAL for host, key in seen)


OTHERS = {"AWS_ACCESS_KEY_ID": "AKIAOTHEROTHEROTHER0", "AWS_SESSION_TOKEN": "x", "AWS_REGION": "us-west-2"}
ENDPOINTS = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
PROFILES = {"AWS_PROFILE": "nowhere", "AWS_DEFAULT_PROFILE": "nowhere"}
PROXIES = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}


@pytest.mark.parametrize("later", [{}, OTHERS | ENDPOINTS | PROFILES | PROXIES], ids=["as before", "all changed"])
def test_two_connections_in_one_process(both, sent, readers_environment, later):
    for name, value in later.items():
        readers_environment.setenv(name, value)
    for one in both:
        call_all(one)
        assert went_to(sent, one)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call_all, both * 2))
    ours, real = (both[0].endpoint.removeprefix("http://"), embedded.find(both[0].home).keys.access), REAL
    assert {key == ours[1] for host, key in sent if host == ours[0]} == {True}
    assert {key == real for host, key in sent if host.endswith(".amazonaws.com")} == {True}
    assert {host for host, _ in sent if not host.endswith(".amazonaws.com")} == {ours[0]}


@pytest.mark.parametrize(
    "fail",
    [
        lambda: aws.connect("aws"),
        lambda: aws.connect("aws", role="a-role-that-iam-refuses"),
        lambda: preflight.check("aws", role="a-role", container=ROOT / "container"),
    ],
)
def test_an_attempt_at_aws_does_not_change_an_earlier_connection(connection, readers_environment, sent, fail):
    with contextlib.suppress(aws_session.ConnectError):
        fail()
    assert connection.endpoint.removeprefix("http://") not in {host for host, _ in sent}
    sent.clear()
    call_all(connection)
    assert went_to(sent, connection)


@pytest.mark.long
def test_the_sdk_uses_its_connections_target(both, sent, readers_environment, make_trainer):
    from sagemaker.core.parameter import CategoricalParameter
    from sagemaker.train.tuner import HyperparameterTuner

    for name, value in (ENDPOINTS | OTHERS).items():
        readers_environment.setenv(name, value)
    metrics = [{"Name": "mean_reward", "Regex": "Mean Reward: (.*)"}]

    def launch(one):
        trainer, channels = make_trainer(one, "s3://bucket/unity-volume/x/", {"max_steps": 1})
        launching._create(one, launching.make_request(one, trainer, channels, None))
        tuner = HyperparameterTuner(trainer, "mean_reward", {"batch_size": CategoricalParameter([32, 64])}, metrics)
        request = sdk_request.read_tuning(one, tuner, channels, {"max_steps": "1"})
        tuning.launching._create(one, {**request, "HyperParameterTuningJobName": f"t-{time.monotonic_ns()}"})

    before = dict(os.environ), boto3.DEFAULT_SESSION
    for one in both:
        launch(one)
        assert went_to(sent, one)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(launch, both * 2))
    assert {host.endswith(".amazonaws.com"): key for host, key in sent} == {
        True: REAL,
        False: embedded.find(both[0].home).keys.access,
    }
    assert (dict(os.environ), boto3.DEFAULT_SESSION) == before


def test_an_unavailable_target_is_an_error(connection, readers_environment, both, sent):
    with pytest.raises(aws_session.ConnectError, match="Expected no access key for a client of the embedded AWS"):
        connection.session.client("s3", aws_access_key_id=REAL, aws_secret_access_key="real")
    with pytest.raises(aws_session.ConnectError, match=r"found the address http://localhost:1 of this machine"):
        both[1].session.client("s3", endpoint_url="http://localhost:1")
    readers_environment.setenv("AWS_ENDPOINT_URL", connection.endpoint)
    with pytest.raises(aws_session.ConnectError, match=f"found the address {connection.endpoint} of this machine"):
        aws.connect("aws", role="role")
    readers_environment.delenv("AWS_ENDPOINT_URL")
    keys = embedded.find().keys
    readers_environment.setenv("AWS_ACCESS_KEY_ID", keys.access)
    readers_environment.setenv("AWS_SECRET_ACCESS_KEY", keys.secret)
    with pytest.raises(aws_session.ConnectError, match="found keys of an embedded AWS"):
        aws.connect("aws", role="role")
    assert sent == set()


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
REGION = ("AWS_DEFAULT_REGION", "AWS_REGION")


@pytest.mark.parametrize(
    ("given", "unset", "settings", "problem"),
    [
        ({"target": "azure"}, (), {}, 'Expected target to be "embedded" or "aws", found \'azure\''),
        ({"role": "role"}, REGION, {}, "Expected an AWS region, found none. Run `aws configure set region"),
        ({"role": "role"}, KEYS, {}, "Expected AWS credentials, found none. Run `aws configure`"),
        ({}, (), {}, "Expected the name or ARN of an execution role, found none"),
        (
            {"role": "role"},
            (),
            {"AWS_ENDPOINT_URL": "http://nowhere.invalid"},
            "AWS refused, or could not be reached: Could not connect",
        ),
        ({"role": "role"}, (), {"AWS_PROFILE": "nowhere"}, "profile .nowhere. could not be found"),
        ({"subnets": ["subnet-1"]}, (), {}, "Expected subnets and security_groups together, or neither"),
        ({**VPC, "subnets": "subnet-1"}, (), {}, "subnets to be a list of up to 16 IDs .*, found 'subnet-1'"),
        ({**VPC, "subnets": ["vpc-1"]}, (), {}, "subnets to be a list of up to 16 IDs .*, found .*vpc-1"),
        ({**VPC, "security_groups": [f"sg-{n}" for n in range(6)]}, (), {}, "security_groups to be a list of up to 5"),
        ({"kms_key": "alias/mine"}, (), {}, "kms_key to be the ARN of a KMS key, such as .*, found 'alias/mine'"),
        ({"kms_key": KEY.replace("key/", "alias/")}, (), {}, "Expected kms_key to be the ARN of a KMS key"),
    ],
)
def test_missing_settings_are_reported_before_aws_is_used(readers_environment, given, unset, settings, problem):
    for name in unset:
        readers_environment.delenv(name, raising=False)
    for name, value in settings.items():
        readers_environment.setenv(name, value)
    with pytest.raises(aws_session.ConnectError, match=problem):
        aws.connect(**{"target": "aws", **given})


def test_aws_is_the_same_code_with_the_readers_names(connection, monkeypatch):
    """Against the embedded AWS as a stand-in for an account: role by name, bucket by default."""
    monkeypatch.setattr(aws, "open_session", lambda region: connection.session)
    mine = aws.connect("aws", role="mlagents-training", region="us-east-1")
    assert (mine.target, mine.endpoint) == ("aws", None)
    assert (mine.account, mine.bucket, mine.role) == (connection.account, connection.bucket, connection.role)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_made_in_its_region(connection, region):
    session = aws.open_embedded(embedded.find(), region)
    aws.make_bucket(session, f"made-in-{region}")
    place = connection.client("s3").get_bucket_location(Bucket=f"made-in-{region}")["LocationConstraint"]
    assert place == (None if region == "us-east-1" else region)


OWNED = {"Bucket": "mine", "ExpectedBucketOwner": "123456789012"}
HEAD = ("head_bucket", {}, OWNED)
MISSING = ("head_bucket", "404", OWNED)
BLOCKED = ("get_public_access_block", {"PublicAccessBlockConfiguration": aws_session.NOT_PUBLIC}, OWNED)
OPEN = ("get_public_access_block", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}, OWNED)
DEFAULT = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
CONFIGURED = {
    "ServerSideEncryptionConfiguration": {
        "Rules": [{"ApplyServerSideEncryptionByDefault": DEFAULT, "BucketKeyEnabled": True}]
    }
}
PLAIN = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


def encryption(verb, answer):
    return f"{verb}_bucket_encryption", answer, {**OWNED, **(CONFIGURED if verb == "put" else {})}


BLOCK = ("put_public_access_block", {}, {**OWNED, "PublicAccessBlockConfiguration": aws_session.NOT_PUBLIC})
TAGGED = ("put_bucket_tagging", {}, {**OWNED, "Tagging": {"TagSet": [aws_session.PROJECT_TAG]}})


@pytest.mark.parametrize(
    "answers, problem",
    [
        ([HEAD, BLOCKED], ""),
        ([HEAD, OPEN, BLOCK], ""),
        ([HEAD, ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration", OWNED), BLOCK], ""),
        ([HEAD, ("get_public_access_block", "AccessDenied", OWNED), BLOCK], ""),
        ([HEAD, OPEN, ("put_public_access_block", "AccessDenied", BLOCK[2])], "bucket mine to be blocked, found that"),
        ([("head_bucket", "403", OWNED)], "bucket mine to be yours, found that S3 refuses it"),
        (
            [("head_bucket", {"BucketRegion": "eu-west-1"}, OWNED)],
            "bucket mine to be in us-east-1, where the jobs run, found it in eu-west-1",
        ),
        ([MISSING, ("create_bucket", "BucketAlreadyExists", {"Bucket": "mine"})], "to be yours"),
        ([MISSING, ("create_bucket", {}, {"Bucket": "mine"}), TAGGED, BLOCKED], ""),
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
def test_a_bucket_is_owned_and_private_before_it_is_used(monkeypatch, answers, problem):
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
            with pytest.raises(aws_session.ConnectError, match=problem):
                aws.make_bucket(session, "mine", key)
        else:
            aws.make_bucket(session, "mine", key)
        stub.assert_no_pending_responses()


def test_a_bucket_with_a_chosen_name_is_known_to_the_last_lesson(connection):
    aws.connect("embedded", bucket="my-models")
    found = account_setup.find(connection.session, "my-models")
    assert [(item.kind, item.name) for item in found.items if item.kind == "bucket"] == [("bucket", "my-models")]
    assert not [kept for kept in found.kept if "my-models" in kept]
    connection.client("s3").delete_bucket(Bucket="my-models")


def test_a_key_of_another_region_is_refused_before_a_bucket_is_made(connection):
    with pytest.raises(aws_session.ConnectError, match=r"kms_key to be of us-east-1, .* of eu-west-1\. Take a key"):
        aws.connect("embedded", bucket="never-made", kms_key=KEY.replace("us-east-1", "eu-west-1"))
    assert "never-made" not in {one["Name"] for one in connection.client("s3").list_buckets()["Buckets"]}


def test_a_session_makes_one_client_at_a_time(connection, readers_environment, monkeypatch):
    """Session.client is not thread-safe: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html"""
    inside, most = [], []

    def create(session, service, region, **options):
        inside.append(service)
        most.append(len(inside))
        time.sleep(0.01)  # in which another thread could enter
        inside.remove(service)
        return service

    monkeypatch.setattr(botocore.session.Session, "create_client", create)
    sessions = (connection.session, aws_session.open_session("eu-west-1"))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: sessions[number % 2].client("s3"), range(16)))
    assert (made, max(most), len(most)) == (["s3"] * 16, 1, 16)


@pytest.mark.parametrize("how", ["arguments", "environment"])
def test_a_connection_has_vpc_and_key(connection, monkeypatch, how):
    given = {"kms_key": KEY, **VPC} if how == "arguments" else {}
    if not given:
        monkeypatch.setenv("TRAINING_SUBNETS", "subnet-0a1b")
        monkeypatch.setenv("TRAINING_SECURITY_GROUPS", "sg-1 sg-2")
        monkeypatch.setenv("TRAINING_KMS_KEY", KEY)
    made = aws.connect("embedded", bucket="encrypted", **given)
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
        *((refusal(code), "have expired") for code in aws_session.EXPIRED),
        (refusal("400", "HeadObject"), "have expired"),
        (SSOTokenLoadError(error_msg="no token"), "have expired"),
        (UnauthorizedSSOTokenError(), "have expired"),
        (TokenRetrievalError(provider="sso", error_msg="gone"), "have expired"),
        (CredentialRetrievalError(provider="sso", error_msg="gone"), "have expired"),
        (LoginRefreshRequired(), "have expired"),
        (NoCredentialsError(), "have expired"),
        (EndpointConnectionError(endpoint_url="https://s3"), "AWS cannot be reached: Could not connect"),
        (refusal("SlowDown", status=503), "AWS limits the rate of requests"),
        (refusal("InternalError", status=500), "AWS has an internal error"),
        (refusal("AccessDenied", status=403), ""),
        (refusal("400"), ""),
        (ParamValidationError(report="wrong"), ""),
    ],
)
def test_missing_responses_are_explained(connection, error, why):
    text = aws_session.explain_silence(replace(connection, endpoint=None), error)
    assert why in text and bool(why) == bool(text)
    assert aws_session.has_expired(error) == (why == "have expired")
    assert "`aws sso login`" in text or why != "have expired"
    # The embedded AWS knows no such keys, and its own faults are errors of this project.
    also_embedded = isinstance(error, EndpointConnectionError) or "limits" in why
    assert bool(aws_session.explain_silence(connection, error)) == also_embedded


def test_a_stopped_embedded_aws_is_reported(connection):
    gone = replace(connection, endpoint="http://127.0.0.1:9")
    with pytest.raises(
        aws_session.ConnectError, match=r"at http://127\.0\.0\.1:9 no longer answers.*from its first cell"
    ):
        gone.client("s3")


def test_settings_of_the_sdk_are_validated_as_jsonschema_does(connection):
    from jsonschema import ValidationError
    from sagemaker.core.config import validate_sagemaker_config

    wrong = {"SchemaVersion": "1.0", "SageMaker": {"TrainingJob": {"RoleArn": 3}}}
    found = []
    for context in (contextlib.nullcontext(), connection.sdk(), connection.sdk()):
        with context:
            validate_sagemaker_config({"SchemaVersion": "1.0"})
            with pytest.raises(ValidationError) as caught:
                validate_sagemaker_config(wrong)
            found.append(str(caught.value))
    assert found == found[:1] * 3
