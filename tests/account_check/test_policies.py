"""The shipped policies against the calls that the helpers really make, in both directions."""

import ast
import contextlib
import dataclasses
import fnmatch
import hashlib
import json
import time
from collections import defaultdict
from dataclasses import dataclass, replace

import boto3
import pytest
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

import account_setup
import training_image as image
import training_jobs as training
from account_check import policies, preflight, quota
from account_check.policies import main
from account_setup.leftovers import BUILD_LOG, Item
from common import ROOT, aws_session
from common.contract import CHANNEL
from helpers import aws, volume
from many_runs import experiment, tuning
from many_runs.experiment.watch import Watch
from sagemaker_local.cloudformation import KINDS, CloudFormation
from sagemaker_local.schema import AwsError
from training_image import manifest, pushing
from training_jobs import cost

# What IAM calls a call, where that is not the service's and the operation's own name.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
IAM_NAMES = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:CopyObject": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "pricing:GetProducts": "pricing:GetProducts",
}
FREE = {"sts:GetCallerIdentity"}  # needs no right
# Rights that a call takes beside its own: the role that a job is given, the tags that something is made with.
IMPLIED = {
    "sagemaker:CreateTrainingJob": {"iam:PassRole", "sagemaker:AddTags"},
    "sagemaker:CreateHyperParameterTuningJob": {"iam:PassRole", "sagemaker:AddTags"},
    "ecr:CreateRepository": {"ecr:TagResource"},
    "s3:DeleteObjectVersion": {"s3:DeleteObject"},  # of the current one
    "iam:CreateRole": {"iam:TagRole"},
    "codebuild:CreateProject": {"iam:PassRole"},
    "logs:CreateLogGroup": {"logs:TagResource"},
    "sns:CreateTopic": {"sns:TagResource"},
    "budgets:ModifyBudget": {"budgets:TagResource"},
}
# What `docker push` calls, https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
BY_DOCKER = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
}  # and BatchGetImage and PutImage, which are called here too
# For the embedded AWS alone: it makes its own role.
EMBEDDED_ONLY = {"iam:CreateRole", "iam:TagRole"}

NAMES = policies.Names(
    account="123456789012",
    region="us-east-1",
    bucket="mlagents-us-east-1-123456789012",
    role="mlagents-training",
    user="arn:aws:iam::123456789012:user/reader",
)
IMAGE = image.Image("123456789012.dkr.ecr.us-east-1.amazonaws.com", "0123456789abcdef")


def actions(name):
    return {action for statement in NAMES.fill(name)["Statement"] for action in policies.listed(statement["Action"])}


@dataclass
class Road:
    """What was asked of AWS on the way: rights, those of launching alone, and the headers of all requests to S3."""

    rights: set
    launching: set
    headers: dict


@pytest.fixture(scope="module")
def road(connection, tmp_path_factory, make_trainer):
    """Go down the road once and record what it asks for."""
    calls, launching, headers = set(), set(), defaultdict(list)
    call, launch, send = BaseClient._make_api_call, training.launch, Endpoint.make_request

    def record(client, operation, parameters):
        service = client.meta.service_model.signing_name
        calls.add(f"{service}:{operation}")
        return call(client, operation, parameters)

    def record_headers(endpoint, operation_model, request):
        if operation_model.service_model.service_name == "s3":
            headers[operation_model.name].append(request["headers"])
        return send(endpoint, operation_model, request)

    def record_launch(*args, **options):
        before = set(calls)
        calls.clear()
        name = launch(*args, **options)
        launching.update(calls)
        calls.update(before)
        return name

    connection.client("ecr").create_repository(repositoryName="mlagents-0.11.0")  # so that no stack owns it
    set_up(connection.session, account_setup.Settings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", record)
        patch.setattr(Endpoint, "make_request", record_headers)
        patch.setattr(training, "launch", record_launch)
        go_down_the_road(tmp_path_factory.mktemp("road"), make_trainer)
    named = {IAM_NAMES.get(name, name) for name in calls}
    return Road(named | {right for name in named for right in IMPLIED.get(name, ())}, launching, headers)


@pytest.fixture(scope="module")
def recorded(road):
    return road.rights


def set_up(session, settings):
    """Make the stack, or change it."""
    cloudformation = session.client("cloudformation")
    made = cloudformation.create_change_set(**account_setup.make_request(session, settings))
    name = account_setup.wait_for_change_set(cloudformation, made["Id"], 0.01).name
    cloudformation.execute_change_set(ChangeSetName=name)
    account_setup.follow(cloudformation, poll_seconds=0.01)


def delete_everything(connection):
    """Do what the last lesson does, but for the stack, which whoever made it deletes."""
    session = connection.session
    connection.client("s3").create_multipart_upload(Bucket=connection.bucket, Key=f"{CHANNEL}/unfinished")
    account_setup.find(session, "a-new-bucket")  # which is not the project's, as far as its name goes
    found = account_setup.find(session)
    kinds = account_setup.KINDS.keys() - {"stack"}
    [build] = connection.client("codebuild").list_builds_for_project(projectName=image.name.PROJECT)["ids"]
    found = replace(found, items=(*found.items, Item("running", "CodeBuild", build)))  # as if it had not ended
    account_setup.delete(session, found, kinds, sure=True, poll_seconds=0.1)


def go_down_the_road(folder, make_trainer):
    """Do what the notebooks do: connect, look, upload, push, train, stop, train on, fetch, tune, ask prices, delete."""
    aws.connect("embedded", bucket="a-new-bucket")
    connection = aws.connect("embedded")
    preflight.check(connection)
    build = folder / "unity-volume"
    build.mkdir()
    (build / "3DBall.x86_64").write_bytes(b"player")
    (build / "large").write_bytes(bytes(volume.TRANSFER.multipart_threshold))
    volume.upload(connection.client("s3"), connection.bucket, build, progress=False)
    assert image.build_in_codebuild(connection, image.read(connection), poll_seconds=0.1).digest == ""
    pushing.make_repository(connection, "mlagents-0.11.0")
    pushing.make_repository(connection, "mlagents-0.11.0")
    with contextlib.suppress(image.ImageError):  # no registry here, or one: it was asked
        pushing.log_in(connection)
    write_manifest(connection)
    uri = volume.locate(connection, build)
    given = {"do": "term;model trained;wait"}
    name = training.launch(connection, *make_trainer(connection, uri, given), folder=None).name
    log = training.Log(connection, name)
    end = time.monotonic() + 30
    while "waiting" not in log.lines:
        assert time.monotonic() < end
        time.sleep(0.1)  # the log has no event to wait for
        log.read()
    training.stop(connection, name)
    job = training.follow(connection, name, poll_seconds=0.1)
    assert job.status == "Stopped"
    training.fetch(connection, job, folder / "results")
    several = {"experiment": "road", "settings": {"A": {}}, "seeds": [1, 2], "poll_seconds": 0.1}
    trainer, channels = make_trainer(connection, uri, given)
    experiment.launch_many(connection, trainer, channels, folder=None, **several | {"experiment": "waiting"})
    Watch(connection, "waiting").look()  # reads the logs of what is in progress, as the runs below may not be
    experiment.stop_many(connection, "waiting")
    experiment.follow_many(connection, "waiting", poll_seconds=0.1)
    bucket, _, key = job.checkpoints.removeprefix("s3://").partition("/")
    connection.client("s3").put_object(Bucket=bucket, Key=f"{key}model-1.cptk.index", Body=b"saved")
    trainer, channels = make_trainer(connection, uri, {"do": ""})
    trainer.compute.keep_alive_period_in_seconds = 3600
    further = training.launch(connection, trainer, channels, folder=None, start_from=job)
    assert training.follow(connection, further.name, poll_seconds=0.1).status == "Completed"
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.train.tuner import HyperparameterTuner

    tuner = HyperparameterTuner(
        make_trainer(connection, uri, {"do": "term;wait"})[0],
        "mean_reward",
        {"lambd": ContinuousParameter(0.9, 0.99)},
        [{"Name": name, "Regex": regex} for name, regex in training.METRICS.items()],
        max_jobs=2,
    )
    tuned = tuning.launch(connection, tuner, channels, folder=None).name
    tuning.stop(connection, tuned)
    assert tuning.follow(connection, tuned, poll_seconds=0.1).status == "Stopped"
    experiment.launch_many(connection, trainer, channels, folder=None, **several)
    found = experiment.follow_many(connection, "road", poll_seconds=0.1)
    assert len(found.completed) == 2
    with contextlib.suppress(training.TrainingError):  # a run that says nothing has no curve
        experiment.read_curves(connection, found)
    with Stubber(boto3.client("service-quotas")) as stub:
        stub.add_response("list_service_quotas", {"Quotas": []})
        stub.add_response("list_aws_default_service_quotas", {"Quotas": []})
        quota.find_quotas(stub.client, {"ml.c5.xlarge for training job usage"})
    pricing = boto3.client("pricing")
    session = type("Session", (), {"client": lambda self, service, **_: pricing})()
    with Stubber(pricing) as stub:
        stub.add_response("get_products", {"PriceList": []})
        cost.ask_aws(
            aws_session.Connection("aws", session, "123456789012", "us-east-1", "bucket", "role"), "ml.c5.xlarge"
        )
    delete_everything(connection)


def write_manifest(connection):
    """Have an image that an engine pushed with an OCI manifest written as SageMaker takes it."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": "sha256:" + "a" * 64}
    text = json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []})
    digests = ["sha256:" + hashlib.sha256(each.encode()).hexdigest() for each in (text, manifest.convert(text))]
    ecr = boto3.client("ecr")
    with Stubber(ecr) as stub:
        stub.add_response("batch_get_image", {"images": [{"imageManifest": text}]})
        stub.add_response("put_image", {})
        stub.add_response("batch_delete_image", {})
        stub.add_response("put_image", {})
        stub.add_response("describe_images", {"imageDetails": [{"imageDigest": digests[1]}]})
        session = type("Session", (), {"client": lambda self, service, **_: ecr})()
        there = dataclasses.replace(connection, session=session, endpoint=None)
        pushing.settle(there, dataclasses.replace(IMAGE, digest=digests[0], kind=manifest.OCI))


def test_every_call_is_allowed(recorded):
    assert recorded - FREE - EMBEDDED_ONLY <= actions("user")


def calls_in(notebook):
    """Yield the calls of boto3 that a notebook's cells make, as ``service:Operation``."""
    cells = json.loads(notebook.read_text())["cells"]
    nodes = list(ast.walk(ast.parse("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))))
    clients = {}

    def service_of(node):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "client":
            return node.args[0].value
        return clients.get(getattr(node, "id", None))

    clients |= {
        node.targets[0].id: service_of(node.value)
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and (service := service_of(node.func.value))
        ):
            method = node.args[0].value if node.func.attr in ("get_paginator", "get_waiter") else node.func.attr
            model = boto3.client(service, "us-east-1").meta
            operation = model.method_to_api_mapping[method]
            yield IAM_NAMES.get(name := f"{model.service_model.signing_name}:{operation}", name)


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_calls_in_a_notebooks_cells_are_allowed(notebook):
    calls = set(calls_in(notebook))
    assert calls - FREE <= actions("setup" if notebook.stem.startswith("00") else "user")


def test_the_calls_in_cells_are_found():
    assert {"cloudformation:ExecuteChangeSet", "s3:GetLifecycleConfiguration"} <= set(calls_in(NOTEBOOKS[0]))
    assert sum(bool(set(calls_in(notebook))) for notebook in NOTEBOOKS) >= 8


def test_all_allowed_actions_are_called(recorded):
    assert actions("user") - recorded - BY_DOCKER == set()


def test_the_exceptions_are_needed(recorded):
    assert not BY_DOCKER & recorded
    assert recorded >= EMBEDDED_ONLY | FREE


def test_launching_needs_no_other_rights(road):
    # The SDK's own check of the role simulates nine rights for VPCs, and refuses the role without them.
    assert "sagemaker:CreateTrainingJob" in road.launching
    assert "iam:SimulatePrincipalPolicy" not in road.launching


def test_every_request_to_s3_names_the_owner_of_the_bucket(road):
    owners = {name: {each.get("x-amz-expected-bucket-owner") for each in found} for name, found in road.headers.items()}
    owned = """AbortMultipartUpload CompleteMultipartUpload CopyObject CreateMultipartUpload DeleteBucket DeleteObjects
        GetBucketEncryption GetBucketTagging ListMultipartUploads ListObjectVersions ListParts GetObject GetPublicAccessBlock HeadBucket HeadObject ListObjectsV2 PutBucketTagging PutObject PutPublicAccessBlock UploadPart"""
    assert owners == {
        "CreateBucket": {None},  # it has no such parameter, and fails where the name is taken
        **{name: {NAMES.account} for name in owned.split()},
    }
    sources = {each.get("x-amz-source-expected-bucket-owner") for each in road.headers["CopyObject"]}
    assert sources == {NAMES.account}


def test_the_set_up_policy_covers_the_stack_and_cloudformation(connection, tmp_path, monkeypatch):
    """Run the embedded AWS's CloudFormation here, so that the calls that it makes are seen."""
    calls, call = set(), BaseClient._make_api_call
    session = connection.session
    account_setup.delete_stack(session.client("cloudformation"), poll_seconds=0.01)  # of the road
    here = CloudFormation(tmp_path, lambda service, _: session.client(service))

    def answer(self, operation, parameters):
        service = self.meta.service_model.signing_name
        calls.add(f"{service}:{operation}")
        if service != "cloudformation":
            return call(self, operation, parameters)
        form = self._serializer.serialize_to_request(parameters, self.meta.service_model.operation_model(operation))
        try:
            text = here.answer({key: str(value) for key, value in form["body"].items()}, "us-east-1")
        except AwsError as error:
            response = {"Error": {"Code": error.code, "Message": error.message}}
            raise ClientError(response, operation) from error
        shape = self.meta.service_model.operation_model(operation).output_shape
        response = {"headers": {}, "status_code": 200, "body": text.encode()}
        return self._response_parser.parse(response, shape)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    whole = account_setup.Settings("new-bucket", "new-role", "new-policy", mail="me@example.com", budget_usd=5)
    set_up(session, whole)
    set_up(session, replace(whole, keep_days=3, mail="you@example.com", budget_usd=6, vpc=True))
    account_setup.delete_stack(session.client("cloudformation"), poll_seconds=0.01)
    named = {IAM_NAMES.get(name, name) for name in calls}
    recorded = named | {right for name in named for right in IMPLIED.get(name, ())}
    assert recorded - FREE <= actions("setup")
    other = {"servicequotas:ListServiceQuotas", "servicequotas:RequestServiceQuotaIncrease"}  # by the lesson
    # Where there is nothing to change, and where something failed.
    other |= {"cloudformation:DeleteChangeSet", "cloudformation:DescribeStackEvents"}
    other |= {"codebuild:BatchGetProjects", "codebuild:UpdateProject"}  # CodeBuild's schema says nothing of rights
    for kind in KINDS:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        other |= {right for each in schema.get("handlers", {}).values() for right in each["permissions"]}
    assert actions("setup") - recorded - other == set()


def allows(name, action, resource, names=NAMES):
    return any(
        action in policies.listed(statement["Action"])
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in policies.listed(statement["Resource"]))
        for statement in names.fill(name)["Statement"]
    )


BUCKET = "arn:aws:s3:::mlagents-us-east-1-123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:123456789012:repository/{image.REPOSITORY}"
JOB = f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{training.JOB_PREFIX}-20260101"
TUNING_JOB = f"arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/{tuning.job.PREFIX}-0101"
PROJECT = f"arn:aws:codebuild:us-east-1:123456789012:project/{image.name.PROJECT}"
BUILD_ROLE = "arn:aws:iam::123456789012:role/mlagents-image-build-us-east-1"
BUILD_STREAM = f"arn:aws:logs:us-east-1:123456789012:log-group:{BUILD_LOG}:log-stream:0123"
STREAM = f"arn:aws:logs:us-east-1:123456789012:log-group:{training.LOG_GROUP}:log-stream:job/algo-1"


@pytest.mark.parametrize(
    "name, action, resource",
    [
        ("user", "s3:PutObject", f"{BUCKET}/{CHANNEL}/0123/3DBall.x86_64"),
        ("user", "s3:GetObject", f"{BUCKET}/{CHANNEL}/0123/3DBall.x86_64"),
        ("user", "s3:GetObject", f"{BUCKET}/training/job/output/model.tar.gz"),
        ("user", "s3:GetObject", f"{BUCKET}/checkpoints/run/models/run-0/3DBall/checkpoint"),
        ("user", "s3:PutObject", f"{BUCKET}/checkpoints/run/models/run-0/3DBall/checkpoint"),
        ("user", "ecr:PutImage", REPOSITORY),
        ("user", "sagemaker:CreateTrainingJob", JOB),
        ("user", "sagemaker:StopTrainingJob", JOB),
        ("user", "sagemaker:CreateHyperParameterTuningJob", TUNING_JOB),
        ("user", "sagemaker:AddTags", TUNING_JOB),
        ("user", "logs:GetLogEvents", STREAM),
        ("user", "iam:PassRole", "arn:aws:iam::123456789012:role/mlagents-training"),
        ("execution-role", "s3:GetObject", f"{BUCKET}/{CHANNEL}/0123/3DBall.x86_64"),
        ("execution-role", "s3:PutObject", f"{BUCKET}/training/job/output/model.tar.gz"),
        ("execution-role", "s3:GetObject", f"{BUCKET}/checkpoints/run/models/run-0/3DBall/checkpoint"),
        ("execution-role", "s3:PutObject", f"{BUCKET}/checkpoints/run/models/run-0/3DBall/checkpoint"),
        ("execution-role", "s3:ListBucket", BUCKET),
        ("execution-role", "ecr:BatchGetImage", REPOSITORY),
        ("execution-role", "logs:PutLogEvents", STREAM),
        ("user", "s3:PutObject", f"{BUCKET}/{image.name.SOURCES}0123.zip"),
        ("user", "codebuild:StartBuild", PROJECT),
        ("user", "logs:GetLogEvents", BUILD_STREAM),
        ("build-role", "s3:GetObject", f"{BUCKET}/{image.name.SOURCES}0123.zip"),
        ("build-role", "ecr:PutImage", REPOSITORY),
        ("build-role", "logs:PutLogEvents", BUILD_STREAM),
        ("setup", "iam:PassRole", BUILD_ROLE),
    ],
)
def test_resources_match_the_helpers(name, action, resource):
    assert allows(name, action, resource)


@pytest.mark.parametrize(
    "name, action, resource",
    [
        ("user", "s3:PutObject", "arn:aws:s3:::another-bucket/unity-volume/x"),
        ("user", "s3:DeleteObject", f"{BUCKET}/training-of-others/model.tar.gz"),
        ("user", "sagemaker:DeleteTrainingJob", "arn:aws:sagemaker:us-east-1:123456789012:training-job/other"),
        ("user", "logs:DeleteLogStream", STREAM),
        ("user", "iam:CreateRole", "arn:aws:iam::123456789012:role/mlagents-training"),
        ("setup", "iam:CreateRole", "arn:aws:iam::123456789012:role/Administrator"),
        ("setup", "s3:DeleteObject", f"{BUCKET}/training/job/output/model.tar.gz"),
        ("user", "iam:PassRole", "arn:aws:iam::123456789012:role/Administrator"),
        ("user", "sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:123456789012:training-job/other"),
        ("execution-role", "s3:PutObject", f"{BUCKET}/{CHANNEL}/0123/3DBall.x86_64"),
        ("execution-role", "s3:GetObject", "arn:aws:s3:::another-bucket/unity-volume/x"),
        ("execution-role", "ecr:PutImage", REPOSITORY),
        ("user", "codebuild:StartBuild", PROJECT + "-of-others"),
        ("user", "iam:PassRole", BUILD_ROLE),
        ("build-role", "s3:GetObject", f"{BUCKET}/{CHANNEL}/0123/3DBall.x86_64"),
        ("build-role", "ecr:PutImage", f"{REPOSITORY}-of-others"),
        ("execution-role", "iam:PassRole", "arn:aws:iam::123456789012:role/mlagents-training"),
    ],
)
def test_unneeded_actions_are_denied(name, action, resource):
    assert not allows(name, action, resource)


@pytest.mark.parametrize("name", policies.NAMES)
def test_no_action_has_a_wildcard(name):
    assert not [action for action in actions(name) if "*" in action]


def test_actions_that_a_job_needs_of_its_role():
    # AWS's list, without its parts for VPCs and KMS keys.
    assert actions("execution-role") == {
        "cloudwatch:PutMetricData",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    }


KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
WHOLE = replace(NAMES, key=KEY, vpc=True, user="arn:aws:iam::123456789012:role/a/path/reader")


@pytest.mark.parametrize("name", policies.NAMES)
def test_policies_fit_into_a_managed_policy(name):
    assert len("".join(json.dumps(WHOLE.fill(name)).split())) < 6144


def test_additional_actions_for_a_key_and_a_vpc():
    def more(name):
        before, after = ({s["Sid"]: s for s in names.fill(name)["Statement"]} for names in (NAMES, WHOLE))
        new = [after[sid] for sid in after.keys() - before.keys()]
        return {(action, each["Resource"]) for each in new for action in policies.listed(each["Action"])}

    assert more("user") == {
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey", KEY),
        ("s3:PutEncryptionConfiguration", BUCKET),
        ("iam:GetRole", WHOLE.user),
    }
    interfaces = """CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface
        DeleteNetworkInterfacePermission DescribeDhcpOptions DescribeNetworkInterfaces DescribeSecurityGroups
        DescribeSubnets DescribeVpcs"""
    assert more("execution-role") == {
        *((f"kms:{action}", KEY) for action in ("CreateGrant", "Decrypt", "Encrypt", "GenerateDataKey")),
        *((f"ec2:{action}", "*") for action in interfaces.split()),
    }


@pytest.mark.parametrize("name", policies.NAMES)
def test_buckets_are_limited_to_the_account(name):
    conditions = {
        action: statement.get("Condition")
        for statement in WHOLE.fill(name)["Statement"]
        for action in policies.listed(statement["Action"])
        if action.startswith("s3:")
    }
    unbound = {action for action, condition in conditions.items() if condition is None}
    assert unbound == (
        set() if name in ("execution-role", "build-role") else {"s3:CreateBucket"}
    )  # there is no bucket yet to be anybody's
    assert [c for c in conditions.values() if c] == [{"StringEquals": {"aws:ResourceAccount": NAMES.account}}] * len(
        conditions.keys() - unbound
    )


SSO = "AWSReservedSSO_Trainer_0123456789abcdef"


@pytest.mark.parametrize(
    "user, resource, allowed",
    [
        (f"assumed-role/{SSO}/me@example.com", f"role/aws-reserved/sso.amazonaws.com/{SSO}", True),
        (f"assumed-role/{SSO}/me@example.com", f"role/aws-reserved/sso.amazonaws.com/eu-west-1/{SSO}", True),
        (f"assumed-role/{SSO}/me@example.com", "role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1", False),
        ("assumed-role/Reader/me", "role/Reader", True),
        ("assumed-role/Reader/me", "role/Administrator", False),
        ("role/team/Reader", "role/team/Reader", True),
    ],
)
@pytest.mark.parametrize("partition, region", [("aws", "eu-west-1"), ("aws-cn", "cn-north-1")])
def test_a_session_may_look_at_its_role(user, resource, allowed, partition, region):
    service = "sts" if user.startswith("assumed") else "iam"
    names = replace(NAMES, region=region, user=f"arn:{partition}:{service}::123456789012:{user}")
    arn = f"arn:{partition}:iam::123456789012:{resource}"
    for action in ("iam:GetRole", "iam:SimulatePrincipalPolicy"):
        assert allows("user", action, arn, names) == allowed


@pytest.mark.parametrize(
    "change",
    [
        {"account": "*"},
        {"account": "12345678901"},
        {"account": "١٢٣٤٥٦٧٨٩٠١٢"},
        {"region": "*"},
        {"region": "us-east"},
        {"bucket": "mine*"},
        {"bucket": "arn:aws:s3:::mine"},
        {"bucket": 'mine","*'},
        {"bucket": "Mine"},
        {"bucket": "${aws:username}"},
        {"role": "*"},
        {"role": "train?ng"},
        {"role": "arn:aws:iam::123456789012:role/x"},
        {"role": 'x"}'},
        {"role": "${REGION}"},
        {"role": "x\n"},
        {"user": "*"},
        {"user": "reader"},
        {"user": "arn:aws:iam::123456789012:user/*"},
        {"user": "arn:aws:iam::210987654321:user/reader"},
        {"user": "arn:aws:iam::123456789012:root"},
        {"key": "alias/mine"},
        {"key": "arn:aws:kms:us-east-1:123456789012:key/*"},
    ],
)
def test_invalid_names_are_refused(change):
    ((_, value),) = change.items()
    with pytest.raises(policies.PolicyError) as error:
        replace(NAMES, **change)
    assert str(error.value).splitlines()[0].endswith(f", found {value!r}.")


@pytest.mark.parametrize(
    "region, partition", [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("mars", "")]
)
def test_partitions(region, partition):
    assert policies.partition(region) == partition


def test_the_command_prints_them(capsys):
    main(["user", "--account", "123456789012", "--region", "eu-west-1", "--role", "my/role"])
    policy = json.loads(capsys.readouterr().out)
    text = json.dumps(policy)
    assert "$" not in text
    assert "arn:aws:s3:::mlagents-eu-west-1-123456789012/unity-volume/*" in text
    assert "arn:aws:iam::123456789012:role/my/role" in text


def test_the_command_requires_names():
    with pytest.raises(SystemExit):
        main(["user"])


def test_the_command_reports_invalid_names(capsys):
    with pytest.raises(SystemExit):
        main(["user", "--account", "1", "--region", "us-east-1", "--role", "*"])
    errors = capsys.readouterr().err
    assert "Expected the account to be 12 digits, found '1'." in errors
    assert "Expected a role's name, without what its ARN has before it, found '*'." in errors
